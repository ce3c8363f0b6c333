"""C++ text that makes kernels callable from Python, generated from their declarations.

A family gets a table of its kernels (``host/kernel.h``), which ``host/kernel.cpp`` reads: what is
compiled for each kernel is its instantiations and the few lines that pass them their arguments.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from itertools import product

from .c_types import C_TYPES
from .declarations import Kernel, Parameter, kernels_folder
from .entry import allowed, slots_of, steps

# As in ``host/kernel.cpp`` and ``host/short_floats.cpp``.
MOST_PARAMETERS, MOST_ARRAYS, MOST_MAPPED = 32, 16, 4
# The kind of a scalar, and the member of ``Number`` that holds it.
_KINDS = {
    "float": ("d", "real"),
    "double": ("d", "real"),
    "Index": ("q", "integer"),
    "int": ("i", "integer"),
    "bool": ("b", "integer"),
    "uint64_t": ("Q", "bits"),
}


def family_source(family: str, kernels: list[Kernel]) -> str:
    """Write one family as a translation unit: its source, its instantiations and its table."""
    return "\n".join(
        [
            '#include "host/kernel.h"',
            f'#include "{family}.cu"',
            "namespace tl {",
            "namespace {",
            *(_tables(kernel) for kernel in kernels),
            f"const HostKernel all_of_{family}[] = {{",
            *(_row(kernel) for kernel in kernels),
            "};",
            "}  // namespace",
            f"extern const HostFamily {family}_family;",
            f"const HostFamily {family}_family = {{all_of_{family}, {len(kernels)}}};",
            "}  // namespace tl",
            "",
        ]
    )


def bindings_source(
    module: str, families: dict[str, list[Kernel]], methods: Sequence[str], later: dict[str, str]
) -> str:
    """Write the extension module: its table of methods, and what is added to it.

    Further functions that go with a family are in ``host/FAMILY.h``, listed in ``FAMILY_METHODS``.

    Parameters
    ----------
    module
        The module's name.
    families
        The families that are linked with it.
    methods
        The sources of ``host/`` that are linked with it and have tables of methods of their own.
    later
        The names of what is not linked with it, and the units that have them.
    """
    further = [name for name in families if (kernels_folder() / "host" / f"{name}.h").is_file()]
    elsewhere = " ".join(f"{name}={unit}" for name, unit in later.items())
    return "\n".join(
        [
            '#include "host/module.h"',
            *(f'#include "host/{name}.h"' for name in further),
            unit_source(families, methods),
            "using namespace tl;",
            "static PyMethodDef methods[] = {",
            *(f"    {name.upper()}_METHODS," for name in further),
            "    COMMON_METHODS,",
            "    {nullptr, nullptr, 0, nullptr},",
            "};",
            f'static PyModuleDef definition = {{PyModuleDef_HEAD_INIT, "{module}", nullptr, -1, '
            "methods, nullptr, nullptr, nullptr, nullptr};",
            f"PyMODINIT_FUNC PyInit_{module}() {{",
            "    PyObject* module = create_module(&definition, tensorlite_unit);",
            f'    return module && !PyModule_AddStringConstant(module, "elsewhere", "{elsewhere}")',
            "               ? module : nullptr;",
            "}",
            "",
        ]
    )


def unit_source(families: Iterable[str], methods: Iterable[str]) -> str:
    """What a shared object says that it has: `Unit` in ``host/kernel.h``."""
    return "\n".join(
        [
            '#include "host/kernel.h"',
            "namespace tl {",
            *(f"extern const HostFamily {name}_family;" for name in families),
            *(f"extern PyMethodDef* const {name}_methods;" for name in methods),
            "static const HostFamily* const families[] = {",
            *(f"    &{name}_family," for name in families),
            "    nullptr};",
            "static PyMethodDef* const* const tables[] = {",
            *(f"    &{name}_methods," for name in methods),
            "    nullptr};",
            "}  // namespace tl",
            'extern "C" TL_SHARED const tl::Unit tensorlite_unit;',
            "const tl::Unit tensorlite_unit = {tl::families, tl::tables};",
            "",
        ]
    )


def _tables(kernel: Kernel) -> str:
    """The parts of one kernel's table that its row points to."""
    arrays = sum(p.is_array for p in kernel.parameters)
    if len(kernel.parameters) > MOST_PARAMETERS or arrays > MOST_ARRAYS or len(kernel.types) > 2:
        raise ValueError(
            f"{kernel.family}.cu: {kernel.name} has more than {MOST_PARAMETERS} parameters, "
            f"{MOST_ARRAYS} arrays or 2 types"
        )
    lines = [
        f"const int count_{i}_of_{kernel.name}[] = {{{_counts(p, kernel)}}};"
        for i, p in enumerate(kernel.parameters)
        if p.is_array and _count_of(p, kernel) == f"count_{i}_of_{kernel.name}"
    ]
    lines += [
        f"const HostParameter parameters_of_{kernel.name}[] = {{",
        *(f"    {_parameter(p, kernel)}," for p in kernel.parameters),
        "};",
        f"const HostInstance instances_of_{kernel.name}[] = {{",
        *(f"    {_instance(kernel, choice)}," for choice in product(*kernel.host_types.values())),
        "};",
    ]
    slots = slots_of(kernel)
    if slots:
        lines += [
            f"const HostSlot slots_of_{kernel.name}[] = {{",
            *(
                f"    {{{s.role}, {s.type}, {str(s.wide).lower()}, {s.form}, {s.of}, "
                f"{_count_of(p, kernel) if s.of_count else 'nullptr'}}},"
                for p, s in zip(kernel.parameters, slots, strict=True)
            ),
            "};",
        ]
    return "\n".join(lines)


def _row(kernel: Kernel) -> str:
    name = kernel.name
    choices = list(kernel.types)
    widened = sum(1 << choices.index(each) for each in kernel.widened)
    if kernel.widened and any(p.is_heads and p.type in kernel.widened for p in kernel.parameters):
        raise ValueError(f"{kernel.family}.cu: {name} cannot widen arrays of heads")
    instances = len(list(product(*kernel.host_types.values())))
    mapped = kernel.mapped + 1 if 0 < kernel.mapped < MOST_MAPPED else 0
    makes, may, slots = "nullptr", 0, "nullptr"
    if slots_of(kernel):
        makes = f'"{kernel.signature} without outputs and lengths, returning the outputs"'
        may, slots = allowed(kernel), f"slots_of_{name}"
    return (
        f'    {{"{name}", "{kernel.signature}", parameters_of_{name}, {len(kernel.parameters)}, '
        f"instances_of_{name}, {instances}, {widened}, {mapped}, {kernel.traits}, {makes}, {may}, "
        f"{slots}}},"
    )


def _count_of(p: Parameter, kernel: Kernel) -> str:
    """The name of the table of `_counts`: the first with the same content."""
    counts = _counts(p, kernel)
    alike = (q.is_array and _counts(q, kernel) == counts for q in kernel.parameters)
    return f"count_{next(i for i, same in enumerate(alike) if same)}_of_{kernel.name}"


def _counts(p: Parameter, kernel: Kernel) -> str:
    """The array's number of elements, or its four lengths, in steps."""
    names = [each.name for each in kernel.parameters]
    listed = ast.parse(f"({p.count},)", mode="eval").body
    assert isinstance(listed, ast.Tuple)
    each = [", ".join(map(str, (*steps(ast.unparse(e), names), -1))) for e in listed.elts]
    return ", ".join(each)


def _parameter(p: Parameter, kernel: Kernel) -> str:
    if not p.is_array:
        return f"{{\"{p.name}\", '{_KINDS[p.type][0]}', READ, -1, false, ANY, nullptr}}"
    kind = "h" if p.is_heads else "a"
    access = "READ" if p.is_input else "WRITE"
    access += " | OPTIONAL_ARRAY" * p.optional + " | DENSE_ROWS" * p.is_heads
    wide = p.type.startswith("Acc<")
    of = p.type.removeprefix("Acc<").removesuffix(">")
    choice = list(kernel.types).index(of) if of in kernel.types else -1
    fixed = "ANY" if choice >= 0 else C_TYPES[p.type].constant
    return (
        f"{{\"{p.name}\", '{kind}', {access}, {choice}, {str(wide).lower()}, {fixed}, "
        f"{_count_of(p, kernel)}}}"
    )


def _instance(kernel: Kernel, choice: tuple[str, ...]) -> str:
    """One instantiation: its types, and its call with what the table says."""
    names = dict(zip(kernel.types, choice, strict=True))
    types = ", ".join([*(C_TYPES[c].constant for c in choice), "ANY", "ANY"][:2])
    scalars = [p for p in kernel.parameters if not p.is_array]
    heads = [p for p in kernel.parameters if p.is_heads]
    arguments, arrays = [], 0
    for p in kernel.parameters:
        cpp = _substitute(_cpp_type(p), names)
        if not p.is_array:
            arguments.append(f"({p.type})number[{scalars.index(p)}].{_KINDS[p.type][1]}")
            continue
        place = f"at[{arrays}]"
        arrays += 1
        if p.is_heads:
            first = len(scalars) + 4 * heads.index(p)
            arguments.append(f"heads<{cpp}>({place}, number + {first})")
        else:
            arguments.append(f"({cpp}){place}")
    function = f"{kernel.name}<{', '.join(choice)}>" if choice else kernel.name
    used = "const Number* number" if scalars or heads else "const Number*"
    return f"{{{{{types}}}, [](void* const* at, {used}) {{ {function}({', '.join(arguments)}); }}}}"


def _cpp_type(parameter: Parameter) -> str:
    if not parameter.is_array:
        return parameter.type
    element = f"{'const ' if parameter.is_input else ''}{parameter.type}"
    return f"Heads<{element}>" if parameter.is_heads else f"{element}*"


def _substitute(types: str, choice: dict[str, str]) -> str:
    words = types.replace("<", " < ").replace(">", " > ").replace("*", " *").split(" ")
    return " ".join(
        choice.get(word.rstrip(","), word.rstrip(",")) + "," * word.endswith(",") for word in words
    )
