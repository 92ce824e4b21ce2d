"""The door itself: TLS from files, and proxies that name the client."""

from __future__ import annotations

import datetime as dt
import ipaddress
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.gateway_world import Device, World, open_twin
from tests.support.log import until_none
from tests.support.rest import Api, Office


def make_certificate(directory: Path, name: str) -> None:
    """A self-signed certificate for this machine, and its key, as two files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def shown_by(port: int) -> str:
    """The name in the certificate that the gateway shows."""
    shown = ssl.get_server_certificate(("127.0.0.1", port), timeout=10)
    subject = x509.load_pem_x509_certificate(shown.encode()).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


async def test_a_gateway_without_certificate_outlives_a_hangup(world: World) -> None:
    """What renews certificates tells every service: one that has none says so and goes on, with its sessions."""
    with open_twin(world) as twin:
        async with aiohttp.ClientSession() as http:
            url = f"{twin.url}/api/v1/openapi.json"
            async with http.get(url) as before:
                assert before.status == 200
            twin.gateway.kill(signal.SIGHUP)

            async def not_said() -> list[str]:
                logs = world.around.directory.glob("gateway-*.log")
                said = "".join(log.read_text(encoding="utf-8") for log in logs)
                return [] if "no_certificate_to_renew" in said else ["not yet"]

            await until_none(not_said)
            async with http.get(url) as after:
                assert after.status == 200


def test_a_certificate_that_is_not_there_is_one_line(world: World, tmp_path: Path) -> None:
    """The gateway names the setting and the file, ends with 2 and says nothing else of it."""
    around = world.around
    settings = {
        "NIGHTDESK_MASTER_KEY_FILE": str(around.directory / "master.key"),
        "NIGHTDESK_NATS_URL": around.nats.url_of("gateway"),
        "NIGHTDESK_GATEWAY_PORT": "0",
        "NIGHTDESK_HEALTH_PORT": "0",
        "NIGHTDESK_GATEWAY_TLS_CERTIFICATE_FILE": str(tmp_path / "none.pem"),
        "NIGHTDESK_GATEWAY_TLS_KEY_FILE": str(tmp_path / "none.key"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "services.gateway"],
        env=around.environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if "CERTIFICATE" in line]
    setting = "NIGHTDESK_GATEWAY_TLS_CERTIFICATE_FILE"
    missing = tmp_path / "none.pem"
    assert said == [f"gateway: refused to run: {setting}: there is no file {missing}"]
    assert "Traceback" not in done.stdout + done.stderr
    assert "service_failed" not in done.stdout


async def test_tls_from_files_renewed_on_hangup(
    world: World, office: Office, tmp_path: Path
) -> None:
    """REST and WebSocket are served over TLS; SIGHUP takes over a renewed certificate, and open sessions stay."""
    make_certificate(tmp_path, "first")
    files = {
        "NIGHTDESK_GATEWAY_TLS_CERTIFICATE_FILE": str(tmp_path / "cert.pem"),
        "NIGHTDESK_GATEWAY_TLS_KEY_FILE": str(tmp_path / "key.pem"),
    }
    with open_twin(world, settings=files) as twin:
        trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        connector = aiohttp.TCPConnector(ssl=trusting)
        async with aiohttp.ClientSession(connector=connector) as http:
            secure = Api(http, f"https://127.0.0.1:{twin.port}", office.ann.token)
            assert (await secure.get("/me")).json["id"] == office.ann_id
            url = f"wss://127.0.0.1:{twin.port}/ws"
            device = Device(await http.ws_connect(url, protocols=["nightdesk.v1"]))
            await device.hello(office.ann.token)
            make_certificate(tmp_path, "second")
            twin.gateway.kill(signal.SIGHUP)

            async def not_renewed() -> list[str]:
                name = shown_by(twin.port)
                return [] if name == "second" else [name]

            await until_none(not_renewed)
            (tmp_path / "key.pem").write_text("no key")
            twin.gateway.kill(signal.SIGHUP)
            await device.say(op="nothing")
            assert (await device.op("err"))["code"] == "unknown_op"
            assert shown_by(twin.port) == "second"
            await device.leave()


async def test_behind_a_proxy_the_client_is_limited(world: World, office: Office) -> None:
    """Clients of one trusted proxy don't take each other's requests; a client can't choose another address."""
    settings = {
        "NIGHTDESK_GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8",
        "NIGHTDESK_GATEWAY_ADDRESS_PER_S": "0.1",
    }
    with open_twin(world, settings=settings) as twin:
        behind = Api(office.anybody.http, twin.url)

        async def status(said: str) -> int:
            return (await behind.get("/me", X_Forwarded_For=said)).status

        assert [await status("203.0.113.1"), await status("203.0.113.1")] == [401, 429]
        assert await status("198.51.100.1, 203.0.113.1") == 429
        assert await status("203.0.113.2") == 401


async def test_a_revoked_key_ends_at_every_gateway(world: World, office: Office) -> None:
    """A gateway that has used the key a moment ago refuses it long before its own memory of a minute is over."""
    made = await office.admin.made("/api_keys", {"name": "crm"})
    with open_twin(world) as twin:
        robot = Api(office.anybody.http, twin.url, made["api_key"])
        assert (await robot.get("/conversations")).status == 200
        assert (await office.admin.delete(f"/api_keys/{made['api_key_id']}")).status == 204

        async def still_good() -> list[int]:
            status = (await robot.get("/conversations")).status
            return [] if status == 401 else [status]

        await until_none(still_good)
