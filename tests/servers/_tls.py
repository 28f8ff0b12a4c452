"""TLS before a server that speaks none: the wheels of the servers are built without it. Certificates are made here."""

import contextlib
import datetime as dt
import ipaddress
import select
import socket
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SSL_REQUEST, _GSS_REQUEST = ((8).to_bytes(4) + code.to_bytes(4) for code in (80877103, 80877104))
"""How a client of Postgres asks for encryption, before anything else."""


def write_certificates(directory, *, names=("localhost",), addresses=("127.0.0.1",)):
    """An authority of one's own, `ca.pem`, and a server's certificate with its key, `server.pem`."""
    now = dt.datetime.now(dt.timezone.utc)

    def signed(subject, key, issuer, issuer_key, *extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(issuer_key, hashes.SHA256())

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"tests {directory.name}")])
    usage = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("encipher_only", "decipher_only"),
        ),
        False,
    )
    ca = signed(
        ca_name,
        ca_key,
        ca_name,
        ca_key,
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False),
    )
    alternatives = [*map(x509.DNSName, names), *(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses)]
    server = signed(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]),
        key,
        ca_name,
        ca_key,
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectAlternativeName(alternatives), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False),
    )
    pem = serialization.Encoding.PEM
    (directory / "ca.pem").write_bytes(ca.public_bytes(pem))
    (directory / "server.pem").write_bytes(
        server.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


class TLS:
    """Takes TLS connections on a port of its own, and carries what is in them to *target*: a port, or a socket's path.

    With *postgres* a client asks for TLS in the words of Postgres first.
    """

    def __init__(self, target, certificate, *, postgres=False):
        self.handshakes = 0
        """How many were completed."""
        self._target = target
        self._postgres = postgres
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open, self._threads = set(), []
        self._ended = False
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def port(self):
        return self._listener.getsockname()[1]

    def break_all(self):
        """Close every connection, as a server that is restarted does."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ended = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()
        self.break_all()
        for thread in self._threads:
            thread.join()

    def _accept(self):
        while True:
            plain, _ = self._listener.accept()
            if self._ended:
                plain.close()
                return
            thread = threading.Thread(target=self._serve, args=(plain,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain):
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            held.callback(plain.close)
            with self._lock:
                self._open.add(plain)
            held.callback(self._forget, plain)
            if self._postgres and not self._asked(plain):
                return
            client = held.enter_context(self._context.wrap_socket(plain, server_side=True))
            with self._lock:
                self._open.discard(plain)
                self._open.add(client)
                self.handshakes += 1
            held.callback(self._forget, client)
            server = held.enter_context(self._reached())
            _carry(client, server)

    def _forget(self, one):
        with self._lock:
            self._open.discard(one)

    def _asked(self, plain):
        while (request := plain.recv(8, socket.MSG_WAITALL)) == _GSS_REQUEST:
            plain.sendall(b"N")
        if request == _SSL_REQUEST:
            plain.sendall(b"S")
        return request == _SSL_REQUEST

    def _reached(self):
        if isinstance(self._target, int):
            return socket.create_connection(("127.0.0.1", self._target))
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._target)
        return server


def _carry(client, server):
    while True:
        ready = [client] if client.pending() else select.select([client, server], [], [])[0]
        for source, target in ((client, server), (server, client)):
            if source in ready:
                data = source.recv(2**16)
                if not data:
                    return
                target.sendall(data)
