"""The files that https is served with."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from zchat.errors import UsageError
from zchat.web.tls import MAX_PEM, tls_context

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUHAc75LLYCywJI3/DkO0p3JqSvP8wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNzA3MjEzM1oYDzIxMjYxMTAz
MDcyMTMzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARGZMoJaJykJioVJFBii7yYMQzqVqebPCZjM5huZ8mZ/iQwPCamvbWY
RNeIrTMbQeBT4mKAJg8S1iJDczBbJN6Xo1MwUTAdBgNVHQ4EFgQUbsas7hJvvk9N
fQZckDsvZJfsD/0wHwYDVR0jBBgwFoAUbsas7hJvvk9NfQZckDsvZJfsD/0wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA4ga5rjoScrvv0Ukt8Lc8
kPNe9tsSuYALYo25iOl2nksCIAJDhmy76Ft16VPe7yqbQo8o+aoryl6ayqBIgtfF
zJ7I
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIJzHYcci4xZboXq8/eP0qeUHXV9fXbZ/xE7CL17OJxFWoAoGCCqGSM49
AwEHoUQDQgAERmTKCWicpCYqFSRQYou8mDEM6lanmzwmYzOYbmfJmf4kMDwmpr21
mETXiK0zG0HgU+JigCYPEtYiQ3MwWyTelw==
-----END EC PRIVATE KEY-----
"""
WITH_A_PASSPHRASE = """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhqzK65RP46GwICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEPlt7+7PFpL8WNBM533n1ukEgZBX
ca9RIWZvehosE2kOuMNcNcjaWf+EnHwlPqsWErHFlj1V8+cyCO3iMtuKfLV6qDPw
aA2/p+vfFY1d4L98d9iclpwY7XtGhZXn5WfpZjZG+s3qb8G7tMMeY1JCRcxD/HU6
Kde5xeXRDYnJnpMuPZdClzbnzcXDaCAyCfDdn7ZucoQztPO4C69jsvUR6eRIS/4=
-----END ENCRYPTED PRIVATE KEY-----
"""
ANOTHERS = """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIAWs9CwNG9bBYNArjAWWXpo10KZKU3Lfu9PvKrv9dx9XoAoGCCqGSM49
AwEHoUQDQgAE1p/KUo0UKSi3kmBxVgsWOsJ9wrA3gLt963oTDdZr5cf0nOw4Bby3
sykg50qixjdspmFIqbfDu0QAP+CsnHLUtw==
-----END EC PRIVATE KEY-----
"""

WEAK = """\
-----BEGIN CERTIFICATE-----
MIICBjCCAW+gAwIBAgIURotBMcTjq2fszW9eJCXFUYvFs7EwDQYJKoZIhvcNAQEL
BQAwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNzEyMDA0OVoYDzIxMjYx
MTAzMTIwMDQ5WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwgZ8wDQYJKoZIhvcNAQEB
BQADgY0AMIGJAoGBALQxkG1rY76K0ZO0hFGHGGHDT8Ag5QPs5P5pWIFbASaO1sru
plICf8kuExn5ooEZqlGYJNM335TQH5CKrSpgwibPrSEB8JAIySYq9VHTbzbVMsm3
RfAsYNpiuFDclbs4Cc3Koas0bgC84WZv0K4D7U4N1Pt1TYHFFktgW+eBB+d5AgMB
AAGjUzBRMB0GA1UdDgQWBBT9wTQyj0kQOSBydqmx3PWB4B+w5jAfBgNVHSMEGDAW
gBT9wTQyj0kQOSBydqmx3PWB4B+w5jAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3
DQEBCwUAA4GBALMX1DWJIq6Rx9HP5UV9kXF0Qhm5//Sdf7rsvcZEEoNpjkmEi7cI
ojw50Mxs1O3cFYHLGafb8BPCcVLU2A49CMZfvhaJd5sHiBktqFzQHgnn1X48S2h9
WMALtlQy982aunydGZD1pcBKttF3BGO87hlMHRyNlZM987rZ3Vc3SknM
-----END CERTIFICATE-----
"""
WEAK_KEY = """\
-----BEGIN PRIVATE KEY-----
MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBALQxkG1rY76K0ZO0
hFGHGGHDT8Ag5QPs5P5pWIFbASaO1sruplICf8kuExn5ooEZqlGYJNM335TQH5CK
rSpgwibPrSEB8JAIySYq9VHTbzbVMsm3RfAsYNpiuFDclbs4Cc3Koas0bgC84WZv
0K4D7U4N1Pt1TYHFFktgW+eBB+d5AgMBAAECgYA/Fk9Lj9qnHnELtprQ9Gx75eap
DJtByZHO5NEg0NzRRBc9i1pdwhQ9Ok1jvbvAWV0BHjReYuR7dHZoo7TG7oNqfpss
PPx2d5X8YhHtfmDFTGc+LZNMibFQ8QNs6U0XtFAZRjkxwKwszQDTPUDU74b4fpY1
4dG/UfAPzemOFydMJQJBAOHzFACb9GzZRDQbiUUN+iXKk0dTUcELhT5qwC7iyZay
DP/QcqUka8NrLic2Elf2tRKBK0gBSd70EDz8bNSlFCMCQQDMKKF1wiHW/2zE8QR0
jy+HbNNAqJcRG3ytz3IqtuS3iVcE6xVZbs7VUSGC1QZOs7XfWUCsfjNfaERgZfvX
sZGzAkEAu5LWOiM96Nb9Xdy2OlN+JL1lQsMSjZYIyWZJoSK4g5fQXtYnNp1jsNlb
eUXUOJ4gd/ovehlHwAURLe/IUUexzQJAY2YU1mSiXS8XIfvGk4lzNphBcmWix21+
kpFBoJJTYRi5CWf7iQNuKGXLzwswevj8P7YQyurW0EjPoa+FokqOCQJAZzh6d/vO
eY25EDJ9wdUK8qDNIVWP4i4Foef5000WCHcWvXSzgW/oDspx56e7yeMhLjNG4Mj7
BS9GnCaEUDHmWA==
-----END PRIVATE KEY-----
"""
"""Of RSA with 1,024 bits, as OpenSSL no longer serves it."""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in (("c.pem", CERTIFICATE), ("k.pem", KEY), ("ek.pem", WITH_A_PASSPHRASE), ("k2.pem", ANOTHERS)):
        (tmp_path / name).write_text(text)
    (tmp_path / "weak.pem").write_text(WEAK)
    (tmp_path / "rsa.pem").write_text(WEAK_KEY)
    (tmp_path / "both.pem").write_text(KEY + CERTIFICATE)
    (tmp_path / "cut.pem").write_text(KEY[:100])
    (tmp_path / "long.pem").write_text(CERTIFICATE + "x" * MAX_PEM)
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def test_a_path_that_no_file_can_have_is_none(files: Path) -> None:
    certificate = str(files / "cert.pem")
    with pytest.raises(UsageError, match=r"a certificate is the path of a file, not 'a\\x00b'"):
        tls_context("a\0b", certificate)
    with pytest.raises(UsageError, match=r"a certificate's key is the path of a file, not 'a\\x00b'"):
        tls_context(certificate, "a\0b")


def test_a_certificate_and_its_key_are_taken_from_two_files_or_from_one(files: Path) -> None:
    for certificate, key in (("c.pem", "k.pem"), ("both.pem", "both.pem")):
        assert isinstance(tls_context(str(files / certificate), str(files / key)), ssl.SSLContext)


@pytest.mark.parametrize(
    ("certificate", "key", "named", "wrong"),
    [
        ("nosuch.pem", "k.pem", "nosuch.pem", "No such file"),
        ("c.pem", "nosuch.pem", "nosuch.pem", "No such file"),
        ("fifo", "k.pem", "fifo", "no regular file"),
        ("c.pem", "fifo", "fifo", "no regular file"),
        ("k.pem", "k.pem", "k.pem", "there is no certificate in"),
        ("c.pem", "c.pem", "c.pem", "there is no key in"),
        ("long.pem", "k.pem", "long.pem", "more than 1048576 bytes"),
        ("c.pem", "ek.pem", "ek.pem", "has a passphrase: decrypt it first, for example by openssl pkey -in"),
        ("c.pem", "k2.pem", "k2.pem", "is not that of the certificate in"),
        ("c.pem", "rsa.pem", "rsa.pem", "is not that of the certificate in"),
        (
            "weak.pem",
            "rsa.pem",
            "weak.pem",
            "too weak (EE_KEY_TOO_SMALL): have one made with a key of RSA of 2,048",
        ),
        ("c.pem", "cut.pem", "cut.pem", "is damaged"),
    ],
)
def test_the_file_that_is_wrong_is_named_with_what_is_wrong(
    files: Path, certificate: str, key: str, named: str, wrong: str
) -> None:
    with pytest.raises(UsageError) as caught:
        tls_context(str(files / certificate), str(files / key))
    text = str(caught.value)
    assert named in text
    assert wrong in text
    others = {"c.pem", "k.pem"} - {named}
    if "damaged" not in wrong and "not that" not in wrong:
        assert not any(f"/{other}" in text for other in others)
