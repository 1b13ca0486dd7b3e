"""Writes docs/generated: the pages that are tables of gemel_golden, so that documents and hardware can't disagree."""

import ast
import inspect
from collections.abc import Iterable
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from gemel_golden import (
    activity,
    config,
    counters,
    formats,
    functions,
    isa,
    lane_ops,
    packets,
    registers,
    vector,
    vector_isa,
    vector_memory,
    vector_timing,
)

TARGET = Path(__file__).parents[1] / "docs" / "generated"
ENUMERATIONS = (isa.Unit, isa.Layout, isa.ScaleMode, isa.Activation, isa.FaultCode)


def table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return "".join("| " + " | ".join(line) + " |\n" for line in cells)


def page(title: str, source: str, *parts: str) -> str:
    """A whole page, with its title and a sentence that says where it comes from."""
    origin = f"*Generated from `{source}` by `make docs`; edit the table there.*"
    return "\n".join((f"# {title}\n", f"{origin}\n", *parts))


def yes(truth: bool) -> str:
    return "yes" if truth else ""


def bits(field: isa.Field) -> str:
    """The field's bit range, as `[msb:lsb]`."""
    return f"[{field.lsb + field.width - 1}:{field.lsb}]" if field.width > 1 else f"[{field.lsb}]"


def legal(field: isa.Field) -> str:
    """The field's legal values."""
    if field.legal is not None:
        return ", ".join(map(str, field.legal))
    if field.hi is not None or field.width <= 24:
        values = f"{field.minimum}..{field.maximum}"
    else:
        values = f"{field.width} bits" + (f" from {field.lo}" if field.lo else "")
    values += ", signed" if field.signed else ""
    return values + (f", multiple of {field.multiple}" if field.multiple > 1 else "")


def field_table(fields: Iterable[isa.Field]) -> str:
    """Bits, name, legal values, default and meaning of fields."""
    rows = ((bits(f), f"`{f.name}`", legal(f), f.default, f.doc) for f in fields)
    return table(("bits", "field", "legal", "default", "meaning"), rows)


def prose(text: str | None) -> str:
    """A docstring as a Markdown paragraph."""
    return inspect.cleandoc(text or "") + "\n"


def enumeration(kind: type[IntEnum]) -> str:
    """A section with the members of an enumeration."""
    rows = ((member.value, f"`{member.name}`") for member in kind)
    return f"### {kind.__name__}\n\n{prose(kind.__doc__)}\n{table(('value', 'name'), rows)}"


def instruction(row: isa.Instruction) -> str:
    """A section with one instruction: what it does, its fields and its addresses."""
    parts = [f"## {row.name}\n", f"Opcode `0x{row.opcode:02x}`, unit {row.unit.name}.\n", f"{row.doc}\n"]
    if row.fields:
        parts.append(field_table(sorted(row.fields, key=lambda f: f.lsb)))
    if row.addresses:
        rows = (
            (f"`{a.name}`", bits(a.imm), bits(a.register), "memory" if a.memory else "L1", a.multiple, a.doc)
            for a in row.addresses
        )
        parts.append(table(("address", "immediate", "register", "space", "alignment", "meaning"), rows))
    if row.synchronises:
        parts.append("Takes [waits and signals](#waits-and-signals).\n")
    return "\n".join(parts)


def isa_page() -> str:
    rows = (
        (f"`0x{row.opcode:02x}`", f"[{row.name}](#{row.name.lower()})", row.unit.name, row.doc.partition(". ")[0])
        for row in isa.INSTRUCTIONS.values()
    )
    return page(
        "Instructions",
        "gemel_golden.isa",
        prose(isa.__doc__),
        table(("opcode", "name", "unit", "summary"), rows),
        "## Waits and signals\n",
        f"There are {isa.SEMAPHORES} counting semaphores, each from 0 to {isa.SEMAPHORE_MAX}.\n",
        field_table(isa.SYNC_FIELDS),
        *map(instruction, isa.INSTRUCTIONS.values()),
        "## Enumerations\n",
        *map(enumeration, ENUMERATIONS),
    )


def packets_page() -> str:
    sections = (
        f"## {kind.name}\n\nType {kind.value}.\n\n" + (field_table(fields) if fields else "No fields.\n")
        for kind, fields in packets.PACKETS.items()
    )
    return page("Command packets", "gemel_golden.packets", prose(packets.__doc__), *sections)


def registers_page() -> str:
    def block(b: registers.Block) -> str:
        place = f"At `0x{b.base:04x}`"
        if b.limit > 1:
            place = f"Number i, up to {b.limit - 1}: at `0x{b.base:04x}` + i * `0x{b.stride:03x}`"
        rows = ((f"`0x{r.offset:03x}`", f"`{r.name}`", r.access, r.doc) for r in b.table)
        return f"## {b.name}\n\n{b.doc} {place}.\n\n" + table(("offset", "name", "access", "meaning"), rows)

    return page("Registers", "gemel_golden.registers", prose(registers.__doc__), *map(block, registers.BLOCKS.values()))


def counters_page() -> str:
    meanings = member_docs(activity.Activity)
    classes = ((kind.value, f"`{kind.name}`", " ".join(meanings[kind.name].split())) for kind in activity.Activity)
    rows = ((c.number, f"`{c.name}`", c.doc) for c in counters.COUNTERS.values())
    order = ", ".join(kind.name for kind in activity.Activity.order())
    return page(
        "Counters",
        "gemel_golden.counters",
        prose(counters.__doc__),
        f"Add {counters.SINCE_RESET} to a number for the value since reset.\n",
        "## Classes\n",
        f"Where several hold in a cycle, the first of {order} counts.\n",
        table(("class", "name", "in this cycle"), classes),
        "## Numbers\n",
        table(("number", "name", "counts"), rows),
    )


def formats_page() -> str:
    def row(f: formats.Format) -> tuple[object, ...]:
        shape = (f.bits, f.kind, f.exponent_bits or "", f.mantissa_bits or "", f"{f.max_finite:.10g}")
        special = (yes(f.has_inf), "" if f.nan is None else f"`0x{f.nan:x}`")
        places = (yes(f.operand), yes(f.code in isa.OPERAND_FORMATS), yes(f.code in isa.OUTPUT_FORMATS))
        return (f.code, f"`{f.name}`", *shape, *special, *places)

    head = ("code", "name", "bits", "kind", "exponent", "mantissa", "largest", "Inf", "canonical NaN")
    head += ("golden operand", "MATMUL operand", "MATMUL result")
    return page(
        "Number formats",
        "gemel_golden.formats",
        prose(formats.__doc__),
        table(head, map(row, formats.FORMATS.values())),
    )


def attribute_docs(kind: type) -> dict[str, str]:
    """The string that stands below each annotated attribute of a class."""
    body = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body[0], ast.ClassDef)
    docs = {}
    for statement, following in pairwise(body[0].body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(doc))):
                docs[name] = doc
    return docs


def configurations_page() -> str:
    chips = [c.as_dict() for c in config.CONFIGS.values()]
    docs = attribute_docs(config.ChipConfig)
    docs |= {name: inspect.getdoc(member) or "" for name, member in inspect.getmembers(config.ChipConfig, is_property)}
    rows = ((f"`{key}`", *(chip[key] for chip in chips), docs[key]) for key in chips[0] if key != "name")
    names = (f"`{chip['name']}`" for chip in chips)
    return page(
        "Configurations", "gemel_golden.config", prose(config.__doc__), table(("parameter", *names, "meaning"), rows)
    )


def member_docs(kind: type[IntEnum]) -> dict[str, str]:
    """The string that stands below each member of an enumeration."""
    body = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body[0], ast.ClassDef)
    docs = {}
    for statement, following in pairwise(body[0].body):
        match statement, following:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(doc))):
                docs[name] = doc
    return docs


def vector_page() -> str:
    alu = f"{vector_timing.ARITHMETIC}"
    meanings = member_docs(lane_ops.LaneOp)
    units = config.config("inference").function_units
    function = (str(vector_timing.function(units)), str(vector_timing.function_interval(units)))
    rows = [(op.value, f"`{op.name}`", meanings[op.name], alu, 1) for op in lane_ops.LaneOp]
    rows += [
        (vector_isa.FUNCTION_BASE + f, f"`{f.name}`", "functions.evaluate(f, a)", *function) for f in functions.Function
    ]
    random = (vector_timing.RANDOM, vector_timing.RANDOM_INTERVAL)
    rows += [
        (vector_isa.PHILOX, "`PHILOX`", vector_isa.PHILOX_DOC, *random),
        (vector_isa.IOTA, "`IOTA`", "the lane's number", alu, 1),
        (vector_isa.NOP, "`NOP`", "nothing", "", 1),
    ]
    controls = ((c.value, f"`{c.name}`", vector_isa.CONTROL_DOC[c]) for c in vector_isa.Control)
    permutes = ((p.value, f"`{p.name}`") for p in vector_isa.Permute)
    constants = ((f"`{name}`", getattr(vector_timing, name), doc) for name, doc in module_docs(vector_timing).items())
    return page(
        "Vector core",
        "gemel_golden.vector_isa",
        prose(vector_isa.__doc__),
        "## Fields\n",
        field_table(vector_isa.BUNDLE.values()),
        "## Arithmetic\n",
        "Latency is the number of cycles to the first bundle that may use the result, interval that to the next "
        f"operation of the kind, with {units} function units.\n",
        table(("code", "operation", "result", "latency", "interval"), rows),
        "### Permutations\n",
        prose(vector_isa.Permute.__doc__),
        table(("code", "name"), permutes),
        "## Control\n",
        table(("code", "operation", "meaning"), controls),
        "## Semantics\n",
        "A bundle is these statements of the model; `v` are its fields.\n",
        f"```python\n{inspect.getsource(vector.Run.bundle)}```\n",
        "### Loads\n",
        f"```python\n{inspect.getsource(vector_memory.load)}```\n",
        "### Stores\n",
        f"```python\n{inspect.getsource(vector_memory.store)}```\n",
        "## Hazards\n",
        prose(vector_isa.HAZARDS),
        table(("number", "cycles", "meaning"), constants),
    )


def module_docs(module: ModuleType) -> dict[str, str]:
    """The string that stands below each constant of a module."""
    docs = {}
    for statement, following in pairwise(ast.parse(inspect.getsource(module)).body):
        match statement, following:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(doc))):
                docs[name] = doc
    return docs


def is_property(member: object) -> bool:
    return isinstance(member, property)


def pages() -> dict[str, str]:
    """Every generated page by file name."""
    return {
        "isa.md": isa_page(),
        "vector.md": vector_page(),
        "packets.md": packets_page(),
        "registers.md": registers_page(),
        "counters.md": counters_page(),
        "formats.md": formats_page(),
        "configurations.md": configurations_page(),
    }


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    for name, text in pages().items():
        (TARGET / name).write_text(text)


if __name__ == "__main__":
    main()
