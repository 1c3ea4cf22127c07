"""The settings of faults and rate limits: what goes wrong on purpose.

In here: fields that ``Settings`` inherits. Not in here: the syntax of a script
(``replay_proxy.transports.faults``).
"""

from pathlib import Path

from pydantic import BaseModel, Field

from replay_proxy.errors import ConfigurationError
from replay_proxy.settings.values import MOST, regular_file


class FaultSettings(BaseModel):
    """What goes wrong on purpose."""

    faults: str = Field(
        "",
        description="A script of faults, such as `first=2 rate_limit; every=10 cut`, or `@FILE` "
        "for a file with one.",
    )
    fault_seed: int = Field(
        0, description="Seed that decides which requests a rule with `share=` hits."
    )
    rpm: int | None = Field(
        None,
        gt=0,
        le=MOST,
        description="Requests per minute for each API key; further requests get a 429.",
    )
    tpm: int | None = Field(
        None,
        gt=0,
        le=MOST,
        description="Tokens per minute for each API key; further requests get a 429.",
    )

    @property
    def fault_script(self) -> tuple[str, str]:
        """The place of the script, for errors, and its text.

        Raises ``ConfigurationError`` for a file that cannot be read.
        """
        if not self.faults.startswith("@"):
            return "FAULTS", self.faults
        path = Path(self.faults.removeprefix("@"))
        try:
            if path.exists() and not path.is_dir():
                regular_file(path)  # A device or a pipe would be read without end.
            return f"FAULTS={self.faults}", path.read_text("utf-8-sig")
        except UnicodeDecodeError:
            cause = "it is not UTF-8"
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"FAULTS={self.faults} cannot be read: {cause}. "
            "Name a file after the @, or write the script itself."
        )
