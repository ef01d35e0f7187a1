"""What can go wrong, told apart by who must act. Facts as attributes; libraries' errors are wrapped once."""


class OrchestratorError(Exception):
    """The root of ours."""


class UserError(OrchestratorError):
    """A person can mend it; shown without a traceback."""


class NodeUnreachable(OrchestratorError):
    """No answer from the node: what was asked may still have happened. Try again later, or elsewhere."""


class NodeRefused(OrchestratorError):
    """The node answered no. ``pause`` says whether only a person can mend it (credentials) or time may (limits)."""

    def __init__(self, message: str, *, pause: bool) -> None:
        super().__init__(message)
        self.pause = pause


class HostKeyRefused(NodeRefused):
    """The host key is unknown or has changed. ``fingerprint`` is the one presented (SHA256:…)."""

    def __init__(self, message: str, *, fingerprint: str, changed: bool) -> None:
        super().__init__(message, pause=True)
        self.fingerprint = fingerprint
        self.changed = changed


class ForwardingRefused(OrchestratorError):
    """The node forbids reverse forwarding; its reports are drained over the connection instead."""


class NodeUnfit(OrchestratorError):
    """Reached, but it cannot run jobs as it is (no Python, no space, read-only root). Says what and the remedy."""


class ProtocolError(OrchestratorError):
    """The other end spoke nonsense: a bug, or a hostile node."""
