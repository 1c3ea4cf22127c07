"""``RefreshResult``: the result of sending one recorded request again. Pure."""

from dataclasses import dataclass
from typing import Any, ClassVar

from replay_proxy.answers.drift import Change, Finding


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """The result of one interaction.

    ``interaction`` is the id of the recorded interaction, ``new_id`` that of the new one if it is
    stored, and ``request`` the summary of the request. Only questions are ``sent``.
    """

    OUTCOMES: ClassVar = ("same", "wording", "added", "drifted", "failed", "not_sent")

    interaction: int
    request: dict[str, Any]
    findings: tuple[Finding, ...] = ()
    error: str | None = None
    new_id: int | None = None
    sent: bool = True

    @property
    def outcome(self) -> str:
        """The most serious of ``OUTCOMES`` that applies."""
        changes = {finding.change for finding in self.findings}
        if not self.sent:
            return "not_sent"
        if self.error is not None:
            return "failed"
        if changes & {Change.REMOVED, Change.CHANGED}:
            return "drifted"
        if Change.ADDED in changes:
            return "added"
        return "wording" if changes else "same"

    def document(self) -> dict[str, Any]:
        """The result for JSON."""
        return {
            "interaction": str(self.interaction),
            **self.request,
            "outcome": self.outcome,
            "error": self.error,
            "findings": [
                {
                    "change": finding.change.value,
                    "place": finding.path,
                    "recorded_value": finding.recorded,
                    "new_value": finding.now,
                }
                for finding in self.findings
            ],
        }
