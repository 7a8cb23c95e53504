"""Who a connection may be: its key's user or its login and, through a gateway, any other user but operators."""

from __future__ import annotations

from zchat import errors
from zchat.broker.core.access import Access, Level
from zchat.broker.guard.gate import Gate
from zchat.broker.port import Peer
from zchat.names import GUEST, fold


def name_for(gate: Gate, access: Access, peer: Peer, user: str) -> str:
    """Return the name that a peer has which greets as `user`, as it is to be spelt.

    Raises:
        KeyRemoved: its key is no longer let in.
        WrongName: the name can't be had with its key or login.
    """
    if not peer.name:
        return user
    key = peer.key
    if key is not None and not gate.is_of(key, peer.user):
        raise errors.KeyRemoved("this key is no longer let in here: ask who runs the broker")
    if fold(user) == peer.user:
        return peer.name
    if key is None:
        raise errors.WrongName(f"this login is {peer.name}'s, and no other name can be had with it: be {peer.name}")
    if peer.user.startswith(GUEST):
        raise errors.WrongName(f"no user has this key here, so that it is a guest's: be {peer.name}")
    if not gate.is_gateways(key):
        raise errors.WrongName(
            f"this key is {peer.name}'s, and no other name can be had with it: be {peer.name}; if it is a gateway's, "
            "its file at the broker must say gateway = true"
        )
    refusal = _refusal(gate, access, user)
    if refusal is not None:
        raise refusal
    return gate.spelling(user)


def judge(gate: Gate, access: Access, peer: Peer, user: str) -> errors.Refused | None:
    """Return why a session of a user may not go on, None if it may: keys and rules may have changed since it began."""
    key = peer.key
    if key is None or not peer.name:
        return None
    if not gate.is_of(key, fold(peer.name)):
        owner = peer.name if peer.via else user
        return errors.KeyRemoved(f"this key is no longer {owner}'s here: ask who runs the broker")
    if not peer.via:
        return None
    if not gate.is_gateways(key):
        return errors.KeyRemoved(f"the key of {peer.name} is no longer a gateway's here: ask who runs the broker")
    return _refusal(gate, access, user)


def _refusal(gate: Gate, access: Access, user: str) -> errors.WrongName | None:
    """Return why a user can't come in through a gateway, None if they can."""
    folded = fold(user)
    if access.level(folded, None) is Level.OPERATOR:
        return errors.WrongName(
            f"{user} is an operator here, and no operator comes in through a gateway: use a client with a key of "
            f"{user}'s own, or another name"
        )
    if gate.is_reserved(folded):
        return errors.WrongName(f"{user} is the name of a guest or a gateway, which none has but by its own key")
    return None
