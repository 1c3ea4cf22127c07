"""The options and arguments that tape tools share, as annotations for typer."""

from pathlib import Path
from typing import Annotated

import typer

Store = Annotated[Path | None, typer.Option(help="Directory of the cassettes, instead of STORE.")]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON document.")]
Name = Annotated[str, typer.Argument(help="A cassette's name, or the path of its file.")]
