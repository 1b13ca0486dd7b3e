"""Registers in the form that people write: next states moved from processes of their own into the clocked ones."""

import re
from collections import Counter, defaultdict

__all__ = ["clocked"]

REGISTER = re.compile(r"^  always @\((\w+ \S+)\)\n    (\S+) +<= (\\\S+) ;\n", re.MULTILINE)
PROCESS = re.compile(
    r"^  always @\* begin\n(?:    if \(\\\S+ \) begin end\n)?(    (\\\$\S+)  = .*?)^  end\n", re.MULTILINE | re.DOTALL
)
DECLARATION = re.compile(r"^  reg (?:\[[^]]*\] )?(\\\S+) ;\n", re.MULTILINE)
NAME = re.compile(r"\\\S+ ")
LOAD = re.compile(r"    if \((.*)\) begin\n(      \S.*;\n)    end\n")


def clocked(text: str) -> str:
    """The Verilog module `text` of Yosys, with registers rewritten.

    Yosys gives a register r a variable n for its next state, `n = r; if (load) n = value;` in one process and `r <= n`
    in another. Where nothing else uses n, this becomes `if (load) r <= value;` in a clocked process, and registers that
    one condition loads share it. It is what everybody's Verilog looks like, and a simulator then computes what is
    loaded, instead of evaluating and copying every next state every cycle.
    """
    uses = Counter(NAME.findall(text))
    processes = {found[2]: found for found in PROCESS.finditer(text)}
    loads: dict[tuple[str, str], str] = defaultdict(str)
    others, gone = "", set[str]()
    dead: list[tuple[int, int]] = []
    for register in REGISTER.finditer(text):
        edge, name, following = register.groups()
        if (process := processes.get(following)) is None:
            continue
        name += " " * name.startswith("\\")
        assignment = re.compile(rf"^( +){re.escape(following)} (.*?) += ", re.MULTILINE)
        body, count = assignment.subn(lambda found, name=name: f"{found[1]}{name}{found[2]} <= ", process[1])
        if uses[f"{following} "] != count + 2:
            continue
        gone.add(following)
        dead += [register.span(), process.span()]
        body = re.sub(rf"^    {re.escape(name)} +<= {re.escape(name)} ?;\n", "", body)
        if load := LOAD.fullmatch(body):
            loads[edge, load[1]] += load[2]
        elif body.count("\n") == 1:
            loads[edge, ""] += body
        else:
            others += f"  always @({edge}) begin\n{body}  end\n"
    dead += [found.span() for found in DECLARATION.finditer(text) if found[1] in gone]
    kept, at = "", 0
    for begin, end in sorted(dead):
        kept += text[at:begin]
        at = end
    together = "".join(_process(edge, load, body) for (edge, load), body in loads.items())
    head, end, rest = (kept + text[at:]).rpartition("endmodule\n")
    return f"{head}{together}{others}{end}{rest}"


def _process(edge: str, load: str, body: str) -> str:
    return f"  always @({edge}) begin\n" + (f"    if ({load}) begin\n{body}    end\n" if load else body) + "  end\n"
