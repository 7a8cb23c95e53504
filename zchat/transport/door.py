"""What it means for a client that a broker's door stays shut, as errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterable

from zchat.errors import KeyNeeded, KeyRefused, NoKeysThere, NotLetIn, ServerKeyWrong
from zchat.transport.keys import Key, fingerprint


def shut_door(url: str, mechanism: str, key: Key | None, servers: Iterable[str]) -> NotLetIn | None:
    """Return what a mechanism means for a client whose handshakes fail; None if nothing is known by it.

    `key` is the client's, None without one, `servers` are the keys that the broker may have.
    """
    if mechanism == "CURVE" and key is None:
        return KeyNeeded(
            f"the broker at {url} lets nobody in without a key: make one (zchat keygen NAME), have its NAME.key "
            "added there, and give key and server_key (--key, --server-key)"
        )
    if mechanism == "NULL" and key is not None:
        return NoKeysThere(
            f"the broker at {url} has no keys, so that anybody could be it: check the address, or leave key and "
            "server_key out if you trust what answers there"
        )
    if mechanism == "CURVE":
        given = ", ".join(fingerprint(each) for each in servers)
        return ServerKeyWrong(
            f"the broker at {url} has another key than the one given as its own ({given}): it is another broker, "
            "or somebody in between; ask who runs it for its server.key"
        )
    return None


def refused_key(url: str, key: Key | None) -> KeyRefused:
    """Return the error of a client that a broker knows, and doesn't let in; `key` is None where a login counts."""
    if key is None:
        return KeyRefused(f"the broker at {url} lets in only whom its machine knows by a login: ask who runs it")
    return KeyRefused(
        f"the broker at {url} doesn't let in this key ({key.fingerprint}): have its public half added there"
    )
