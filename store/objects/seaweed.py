"""SeaweedFS as ScopeKit starts it, here and in deploy/compose.yaml: it opens to the keys of S3 alone.

By default its master, volumes, filer and their gRPC twins answer every caller: the filer lists, reads and
deletes private photos, and gRPC adds keys of its own. Loopback and a private network are no authentication.

- Every port but S3's asks the client for a certificate that no one else has; S3's own asks for a signature.
- Nothing on a command line is secret; the files are readable by their owner alone.

`python -m store.objects.seaweed DIRECTORY HOST` writes the files once, for a server that others reach as HOST.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

# For `weed mini` and `weed server` alike.
FLAGS = (
    "-master.telemetry=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    # Each bucket takes 7 volumes of its own. With 0 there are as many as the disk has room for, of 30 GB each: on a
    # disk with 51 GB free that is one, and every upload is refused. A volume takes no room before it is written to.
    "-volume.max=1000",
)
# One volume at a time: 7 at once are for many disks.
ENVIRONMENT = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}

SECURITY, CERTIFICATE, KEY = "security.toml", "weed.crt", "weed.key"
JWT_SECTIONS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
GRPC_SECTIONS = ("master", "volume", "filer", "s3", "admin", "worker", "client", "mq", "msg_broker", "msg_agent")
HTTPS_SECTIONS = ("master", "volume", "filer", "admin")
FOREVER = dt.timedelta(days=36500)  # nobody but this server knows the certificate, so nobody could warn of its end


def write_keys(directory: Path, host: str) -> None:
    """Write security.toml, the certificate and its key into `directory`, fit for a server that is reached as `host`."""
    certificate, key = _certificate(host)
    _write(directory / CERTIFICATE, certificate)
    _write(directory / KEY, key)
    _write(directory / SECURITY, _security(directory))  # last: it says that the others are there


def main(argv: Sequence[str]) -> None:
    """Write the files, unless they are there."""
    directory, host = argv
    if not (Path(directory) / SECURITY).exists():
        write_keys(Path(directory), host)


def _certificate(host: str) -> tuple[str, str]:
    """Return a certificate that is its own authority, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scopekit storage")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + FOREVER)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem).decode(), private.decode()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _security(directory: Path) -> str:
    """Return security.toml: one certificate for all parts, as servers and as clients, and a key for their tokens."""
    cert, key = directory.absolute() / CERTIFICATE, directory.absolute() / KEY
    pair, authority = f'cert = "{cert}"\nkey = "{key}"\n', f'ca = "{cert}"\n'
    token = f'key = "{secrets.token_urlsafe(32)}"\n'
    sections = dict.fromkeys(JWT_SECTIONS, token)
    sections |= {"grpc": authority} | {f"grpc.{name}": pair for name in GRPC_SECTIONS}
    sections |= {f"https.{name}": pair + authority for name in HTTPS_SECTIONS}
    sections |= {"https.client": "enabled = true\n" + pair + authority}
    return "\n".join(f"[{name}]\n{lines}" for name, lines in sections.items())


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
