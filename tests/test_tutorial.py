"""The tutorial's steps run, one after the other, and print their cycles."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEPS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE | re.DOTALL)


def test_every_step_runs_and_prints_its_cycles(tmp_path):
    file = tmp_path / "tutorial.py"
    file.write_text("\n\n".join(STEPS))
    done = subprocess.run([sys.executable, "-W", "error", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = re.findall(r"^(\w+) (\d+) cycles$", done.stdout, re.MULTILINE)
    assert [name for name, _ in printed] == ["add", "softmax", "linear", "layer_norm", "attention"]
    assert all(100 < int(cycles) < 100_000 for _, cycles in printed)
    assert len(STEPS) == len(printed)
