"""Settings, read once into a frozen value: flags, then MJ_* variables, then HOME/config.yml, then defaults.

The only reader of the settings file and of the environment. Also makes the server's home and its secret.
"""

import ipaddress
import logging
import os
import secrets
import zoneinfo
from collections.abc import Iterator, Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import platformdirs
import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.errors import UserError
from orchestrator.references import check_reference, with_password

log = logging.getLogger(__name__)

PREFIX: Final = "MJ_"
FILE: Final = "config.yml"


class SettingsInvalid(UserError):
    """Every mistake in the settings at once: where it was said, the key, what was expected."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("the settings are not right:\n" + "\n".join(f"  {mistake}" for mistake in mistakes))
        self.mistakes = mistakes


def _path(text: Any) -> Any:
    return Path(text).expanduser().absolute() if isinstance(text, str | Path) and str(text) else text


def _zone_name(name: str) -> str:
    try:
        if name:
            zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("expected a time zone like Europe/Berlin or Asia/Shanghai") from None
    return name


def _names(value: Any) -> Any:
    """A variable holds several names with commas between."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _index(text: str) -> str:
    if text and text != "none" and not text.startswith(("https://", "http://", "file://")):
        raise ValueError("expected the address of a package index, or none")
    return text


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
Home = Annotated[Path, BeforeValidator(_path)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=30 * 86400)]


class Settings(BaseSettings):
    """What a server is told. ``load`` makes one; each field can be a flag, a variable or a line of the file."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX)

    #: Everything of ours on this machine: database, inventory, job folders, cache, secret.
    home: Home = Field(default_factory=lambda: platformdirs.user_data_path("multijob"))
    host: str = "127.0.0.1"
    port: Port = 5006
    #: Address of the database; empty: SQLite in the home.
    db: str = ""
    #: Where the password of that address is, never the password: env:NAME or file:/path.
    db_password: str = ""
    #: Another server on the same database takes over after this long without a sign of this one.
    lease_s: Seconds = 6.0
    #: Where reports are taken, on the loopback; 0: any free port.
    report_port: Port = 0
    #: Where machines with ``report: direct`` post to: a URL of ours as they see it.
    report_url: str | None = None
    #: That URL may be http: the network between is trusted.
    report_plain: bool = False
    #: For the names of default batches; empty: UTC.
    timezone: Annotated[str, AfterValidator(_zone_name)] = ""
    #: How often a machine's load is measured.
    poll_s: Seconds = 30.0
    #: After this long without contact a machine's attempts are given up.
    lost_after_s: Seconds = 1800.0
    #: How long a runner stays without work, and without contact.
    linger_s: Seconds = 20.0
    orphan_s: Seconds = 600.0
    #: What a killed job gets to end by itself.
    grace_s: Seconds = 10.0
    #: Waits of a failed job before its next try: the first, doubled each time, and the longest.
    retry_first_s: Seconds = 1.0
    retry_longest_s: Seconds = 300.0
    #: Waits before a machine is connected to again: the first, the longest, and where only a person can mend it.
    connect_first_s: Seconds = 1.0
    connect_longest_s: Seconds = 60.0
    connect_refused_s: Seconds = 60.0
    #: How long a machine may take to answer: the first questions, a measurement, its runner's greeting.
    contact_s: Seconds = 30.0
    poll_timeout_s: Seconds = 20.0
    hello_s: Seconds = 20.0
    #: Waits before a folder that could not be sent, or begun, is tried there again: the first and the longest.
    deploy_first_s: Seconds = 10.0
    deploy_longest_s: Seconds = 300.0
    #: How long a machine with a full disk gets nothing; how often one that sent us away is asked again.
    disk_rest_s: Seconds = 60.0
    end_look_s: Seconds = 300.0
    #: How often old things are removed from machines, and from the store; how often the queue is read unasked.
    sweep_s: Seconds = 86400.0
    housekeeping_s: Seconds = 3600.0
    look_s: Seconds = 30.0
    #: Where packages come from: empty: what pip is configured for on each machine; an address; none: only from wheels.
    package_index: Annotated[str, AfterValidator(_index)] = ""
    #: A folder of wheels that is sent to machines before packages are installed; unset: wheels in the home.
    wheels: Home | None = None
    #: Machines of our own platform get our uv, if there is one; otherwise their own is used, or pip.
    send_uv: bool = True
    #: How long an installation may take; how long one stays unused, and how much room all of a machine's may take.
    environment_timeout_s: Seconds = 1800.0
    environment_unused_days: Annotated[float, Field(gt=0, le=36500)] = 30.0
    environment_gb: Annotated[float, Field(ge=0, le=1e6)] = 20.0
    #: What a return_main gets where its job.yml says nothing.
    return_timeout_s: Seconds = 3600.0
    #: What each of its processes may use at most, 0: no bound; processor time is that of one call.
    return_memory_mb: Annotated[int, Field(ge=0, le=1 << 30)] = 4096
    return_cpu_s: Annotated[float, Field(ge=0, le=30 * 86400)] = 0.0
    return_files: Annotated[int, Field(ge=0, le=1 << 20)] = 1024
    #: The account it runs as, for a server that runs as root; and a folder outside the home that it may look into.
    return_user: str = ""
    return_folder: Annotated[Path | None, BeforeValidator(_path)] = None
    #: So many jobs in a row that fail on one machine only bench it; 0: never. How long at first, and at most.
    bench_after: Annotated[int, Field(ge=0, le=1000)] = 5
    bench_first_s: Seconds = 60.0
    bench_longest_s: Seconds = 3600.0
    #: Finished jobs are removed after so many days, and the oldest of more than so many; 0: never.
    retention_days: Annotated[float, Field(ge=0, le=36500)] = 0.0
    retention_jobs: Annotated[int, Field(ge=0)] = 0
    #: False: no tokens and no sign-in; on the loopback only.
    auth: bool = True
    #: TLS ends at a proxy in front of us: needed for any address but the loopback.
    behind_tls_proxy: bool = False
    #: Further names under which the page may be asked for.
    allowed_hosts: Names = ()
    #: Unknown host keys are accepted at first sight, and remembered.
    accept_new_host_keys: bool = False
    threads: Annotated[int, Field(ge=4, le=1000)] = 64
    return_processes: Annotated[int, Field(ge=1, le=1000)] = Field(default_factory=lambda: os.cpu_count() or 1)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def db_url(self) -> str:
        url = self.db or f"sqlite:///{self.home / 'multijob.db'}"
        return with_password(url, self.db_password) if self.db_password else url

    @property
    def zone(self) -> tzinfo:
        return zoneinfo.ZoneInfo(self.timezone) if self.timezone else UTC

    @property
    def secret(self) -> bytes:
        """What sessions and runners' keys are derived from; copied by whoever runs a second web process."""
        return bytes.fromhex((self.home / "secret").read_text().strip())

    @model_validator(mode="after")
    def _database_guarded(self) -> Self:
        check_reference("db_password", self.db, self.db_password)
        return self

    @model_validator(mode="after")
    def _loopback_or_guarded(self) -> Self:
        if is_loopback(self.host):
            return self
        if not self.auth:
            raise ValueError(f"host {self.host} is not the loopback: auth cannot be off there")
        if not self.behind_tls_proxy:
            raise ValueError(
                f"host {self.host} is not the loopback: put a TLS proxy in front and set behind_tls_proxy: true"
            )
        return self

    @model_validator(mode="after")
    def _returns_guarded(self) -> Self:
        inside = self.return_folder is not None and self.return_folder.is_relative_to(self.home)
        if self.return_user and (self.return_folder is None or inside):
            raise ValueError("return_user: that account cannot look into the home; set return_folder to one elsewhere")
        return self

    @model_validator(mode="after")
    def _reports_guarded(self) -> Self:
        url = self.report_url
        if url is None or url.startswith("https://"):
            return self
        if not url.startswith("http://"):
            raise ValueError("report_url: expected an address that begins with https://")
        if not self.report_plain:
            raise ValueError("report_url: expected https://; for a trusted network set report_plain: true")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """``load`` lays the sources over one another itself, to say where a mistake was made."""
        return (init_settings,)


def load(flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings in force; makes the home. ``flags``: what the command line says, without what it leaves open.

    Raises SettingsInvalid with every mistake.
    """
    make_home(_home(_said(flags), EnvSettingsSource(Settings)()))
    return load_if_there(flags)


def load_if_there(flags: Mapping[str, Any] | None = None) -> Settings:
    """As ``load``, for those who only look: makes nothing."""
    said = _said(flags)
    variables = EnvSettingsSource(Settings)()
    file = _home(said, variables) / FILE
    layers: list[tuple[str, Mapping[str, Any]]] = [("flag --", said), (PREFIX, variables), (f"{file}: ", _read(file))]
    merged: dict[str, Any] = {}
    for _, layer in reversed(layers):
        merged.update(layer)
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise SettingsInvalid([_mistake(detail, layers) for detail in error.errors()]) from None


def make_home(home: Path) -> None:
    """Make the server's folder, for its account only, and its secret, random, at the first start."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("jobs", "cache", "returns", "logs"):
            (home / name).mkdir(mode=0o700, exist_ok=True)
        _keep_secret(home / "secret")
    except OSError as error:
        raise UserError(f"home: cannot make {error.filename or home}: {error.strerror}; choose another home") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _keep_secret(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            log.warning("%s can be read by others: chmod 600", path)
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())  # an empty one after a power loss would be no secret


def _said(flags: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (flags or {}).items() if value is not None}


def _home(*layers: Mapping[str, Any]) -> Path:
    for layer in layers:
        if layer.get("home"):
            return Path(layer["home"]).expanduser().absolute()
    return platformdirs.user_data_path("multijob")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsInvalid([f"{path}: cannot be read: {error}"]) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsInvalid([f"{path}: expected lines like port: 5006"])
    mistakes = list(_strange_keys(path, content))
    if mistakes:
        raise SettingsInvalid(mistakes)
    return content


def _strange_keys(path: Path, content: Mapping[Any, Any]) -> Iterator[str]:
    for key in content:
        if not isinstance(key, str):
            yield f"{path}: {key!r}: expected the name of a setting"
        elif key == "home":
            yield f"{path}: home: expected as a flag or {PREFIX}HOME; this file lies in the home itself"


def _mistake(detail: ErrorDetails, layers: list[tuple[str, Mapping[str, Any]]]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    said = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if not key:
        return said
    expected = said if said.startswith("expected") else f"expected {said}"
    if detail["type"] == "extra_forbidden":
        expected = "there is no such setting"
    top = str(detail["loc"][0])
    where = next((name for name, layer in layers if top in layer), "")
    if where == PREFIX:
        key = key.upper()
    return f"{where}{key}: {expected}"
