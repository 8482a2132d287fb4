"""Certificates for tests, made when they are needed."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """A CA in `ca.crt`, a server's `server.crt` and `server.key`, a client's `client.pem`, and a stranger's."""

    folder: Path
    ca: trustme.CA

    @property
    def bundle(self) -> str:
        """What a client trusts."""
        return str(self.folder / "ca.crt")

    @property
    def client(self) -> str:
        return str(self.folder / "client.pem")

    @property
    def stranger(self) -> str:
        return str(self.folder / "stranger.pem")

    def issue(self) -> None:
        """Writes a new certificate and key for the server."""
        certificate = self.ca.issue_cert("127.0.0.1", "localhost", "::1")
        # The key and then the certificate: for a moment they do not fit, as when people copy files.
        certificate.private_key_pem.write_to_path(self.folder / "server.key")
        certificate.cert_chain_pems[0].write_to_path(self.folder / "server.crt")


def make(folder: Path) -> Certificates:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.crt")
    ca.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    trustme.CA().issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(folder / "stranger.pem")
    ca.issue_cert("127.0.0.1").private_key_pem.write_to_path(folder / "other.key")
    certificates = Certificates(folder, ca)
    certificates.issue()
    return certificates
