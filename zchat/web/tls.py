"""The certificate and the key that the gateway serves https with, of what somebody has written down."""

from __future__ import annotations

import asyncio
import re
import shlex
import ssl

from zchat import paths
from zchat.checks import shown
from zchat.errors import UsageError
from zchat.files import read_bounded
from zchat.paths import why

MAX_PEM = 1 << 20
"""Bytes of a file with a certificate or a key: a chain has some thousand."""

OF_ANOTHER = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""What OpenSSL says of a key that is not the certificate's: of the same kind, or of another."""

TOO_WEAK = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")
"""What OpenSSL says of what it doesn't serve, as others could forge it."""

CERTIFICATE = rb"(X509 |TRUSTED )?CERTIFICATE-----"
KEY = rb"([A-Z]+ )*PRIVATE KEY-----"


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return what https is served with, of two files in PEM format: the certificate with its chain, and its key.

    It waits for no other program and asks for no passphrase.

    Raises:
        UsageError: they can't be used; the text names the file, and what is wrong with it.
    """
    certificate = paths.given("a certificate is the path of a file", certificate)
    key = paths.given("a certificate's key is the path of a file", key)
    _check_pem(certificate, "certificate", CERTIFICATE)
    _check_pem(key, "key", KEY)

    def asked() -> str:
        """Be asked for a passphrase, by the library; it is never asked for on the terminal."""
        raise UsageError(
            f"the key in {shown(key)} has a passphrase: decrypt it first, for example by "
            f"openssl pkey -in {shlex.quote(key)} -out DECRYPTED.pem, in a file that its user alone can read"
        )

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, asked)
    except ssl.SSLError as error:
        if error.reason in OF_ANOTHER:
            text = f"the key in {shown(key)} is not that of the certificate in {shown(certificate)}"
        elif error.reason in TOO_WEAK:
            text = (
                f"the certificate in {shown(certificate)} is too weak ({error.reason}): have one made with a key of "
                "RSA of 2,048 bits at least, or of P-256, and signed with SHA-256"
            )
        else:
            text = f"{shown(certificate)} or {shown(key)} is damaged, or not for https: {error.reason or error}"
        raise UsageError(text) from error
    except OSError as error:
        raise UsageError(f"{shown(certificate)} and {shown(key)} can't be used: {why(error, certificate)}") from error
    return context


def is_closing(transport: asyncio.Transport) -> bool:
    """Return whether a connection is lost or being closed, with TLS or without.

    With TLS asyncio's own answer is that it isn't, until the next turn of the loop (Python 3.11 to 3.13): what is below
    it is asked, too.
    """
    tls = getattr(transport, "_ssl_protocol", None)
    below = getattr(tls, "_transport", None)
    return transport.is_closing() or (below is not None and below.is_closing())


def _check_pem(path: str, what: str, begins: bytes) -> None:
    """See that a file has what is to be in it; `begins` is that, as a pattern of PEM's lines.

    Raises:
        UsageError: it can't be read, or has none.
    """
    try:
        text = read_bounded(path, MAX_PEM)
    except OSError as error:
        raise UsageError(f"{shown(path)}, which should have a {what}, can't be read: {why(error, path)}") from error
    if len(text) > MAX_PEM:
        raise UsageError(f"{shown(path)} has more than {MAX_PEM} bytes: it should have a {what}, and little else")
    if re.search(rb"^-----BEGIN " + begins, text, re.MULTILINE) is None:
        raise UsageError(f"there is no {what} in {shown(path)}: a file in PEM format is needed")
