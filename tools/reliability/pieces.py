"""Results of single cases, kept as they come, so that an interrupted script goes on."""

import json
from pathlib import Path
from typing import Any, Optional

ROOT = Path(__file__).resolve().parents[2]


class Pieces:
    """Lines of JSON in a file, each a case's number and result.

    A line that a kill cut is left out, and so are those of other settings.

    Args:
        name (str): Name of the script.
        settings (dict): What a result depends on besides its number.
        folder (Path, optional): Where the file lies. Defaults to None:
            work_dirs/reliability.
    """

    def __init__(self, name: str, settings: dict, folder: Optional[Path] = None) -> None:
        self.path = (folder or ROOT / 'work_dirs/reliability') / f'{name}.jsonl'
        self.settings = json.loads(json.dumps(settings))
        self.found = {}
        text = self.path.read_text(encoding='utf-8') if self.path.is_file() else ''
        for line in text.splitlines():
            try:
                piece = json.loads(line)
            except ValueError:
                continue
            if isinstance(piece, dict) and piece.get('settings') == self.settings:
                self.found[piece['number']] = piece['result']
        self.cut = bool(text) and not text.endswith('\n')

    def get(self, number: int) -> Any:
        """The result of a case; None if there is none yet."""
        return self.found.get(number)

    def add(self, number: int, result: Any) -> None:
        """Keeps the result of a case."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        piece = dict(settings=self.settings, number=number, result=result)
        with open(self.path, 'a', encoding='utf-8') as file:
            file.write('\n' * self.cut + json.dumps(piece) + '\n')
        self.cut = False
        self.found[number] = json.loads(json.dumps(result))
