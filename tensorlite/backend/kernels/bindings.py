"""C++ text that makes kernels callable from Python, generated from their declarations."""

from __future__ import annotations

import re
from itertools import product

from .c_types import C_TYPES
from .declarations import Kernel, Parameter, kernels_folder
from .entry import allowed, slots_of


def family_source(family: str, kernels: list[Kernel]) -> str:
    """Write one family as a translation unit: its source and its instantiations."""
    lines = [f'#include "{family}.cu"', "namespace tl {"]
    for kernel in kernels:
        types = ", ".join(_cpp_type(p) for p in kernel.parameters)
        for choice in product(*kernel.host_types.values()) if kernel.types else ():
            concrete = _substitute(types, dict(zip(kernel.types, choice, strict=True)))
            lines.append(f"template void {kernel.name}<{', '.join(choice)}>({concrete});")
    return "\n".join([*lines, "}  // namespace tl", ""])


def bindings_source(module: str, families: dict[str, list[Kernel]]) -> str:
    """Write the extension module: one METH_FASTCALL function per kernel.

    Further functions that go with a family are in ``host/FAMILY.h``, listed in ``FAMILY_METHODS``.
    """
    kernels = [kernel for family in families.values() for kernel in family]
    further = [name for name in families if (kernels_folder() / "host" / f"{name}.h").is_file()]
    entries = [f'    TL_METHOD("{k.name}", call_{k.name}, "{k.signature}"),' for k in kernels]
    entries += [
        f'    TL_METHOD("new_{k.name}", new_{k.name}, '
        f'"{k.signature} without outputs and lengths, returning the outputs"),'
        for k in kernels
        if slots_of(k)
    ]
    entries += [f"    {name.upper()}_METHODS," for name in further]
    return "\n".join(
        [
            '#include "host/module.h"',
            *(f'#include "host/{name}.h"' for name in further),
            "namespace tl {",
            *(_declaration(kernel) for kernel in kernels),
            "}  // namespace tl",
            "using namespace tl;",
            *(_function(kernel) for kernel in kernels),
            *(_allocating(kernel) for kernel in kernels if slots_of(kernel)),
            "static PyMethodDef methods[] = {",
            *entries,
            "    COMMON_METHODS,",
            "    {nullptr, nullptr, 0, nullptr},",
            "};",
            f'static PyModuleDef definition = {{PyModuleDef_HEAD_INIT, "{module}", nullptr, -1, '
            "methods, nullptr, nullptr, nullptr, nullptr};",
            f"PyMODINIT_FUNC PyInit_{module}() {{ return create_module(&definition); }}",
            "",
        ]
    )


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


def _declaration(kernel: Kernel) -> str:
    types = ", ".join(f"typename {name}" for name in kernel.types)
    template = f"template <{types}> " if types else ""
    return f"{template}void {kernel.name}({', '.join(map(_cpp_type, kernel.parameters))});"


def _function(kernel: Kernel) -> str:
    """Read and check all arguments, choose the instantiation, run it."""
    lines = [
        f"static PyObject* call_{kernel.name}"
        "(PyObject*, PyObject* const* args, Py_ssize_t given) {",
        f'    Call call("{kernel.signature}", args, given, {len(kernel.parameters)});',
    ]
    lines += [f"    Type type_{name} = ANY;" for name in kernel.types]
    # Arrays whose type is a template parameter fix it before those whose type follows from it.
    order = sorted(
        range(len(kernel.parameters)), key=lambda i: kernel.parameters[i].type.startswith("Acc<")
    )
    for i in order:
        lines.append("    " + _read(i, kernel.parameters[i], kernel))
    lines.append("    if (call.failed) return nullptr;")
    for p in kernel.parameters:
        if p.is_array:
            check = "check_lengths" if p.is_heads else "check_count"
            lines.append(f'    call.{check}(array_{p.name}, "{p.name}", {_checked(p.count)});')
    lines.append("    if (call.failed) return nullptr;")
    lines.append("    if (call.is_void()) return call.finish();")
    lines += [f"    const Array stored_{p.name} = array_{p.name};" for p in _widened(kernel)]
    lines += [f"    const Type stored_type_{name} = type_{name};" for name in kernel.widened]
    lines.append("    call.start();")
    lines += [_for_short_floats(kernel, name) for name in kernel.types if name in kernel.widened]
    lines += [_branch(kernel, choice) for choice in product(*kernel.host_types.values())]
    lines.append("    return call.no_instance();" if kernel.types else "    return call.finish();")
    return "\n".join([*lines, "}"])


def _checked(count: str) -> str:
    """The same expression in numbers that notice when they get negative or too large."""
    return re.sub(r"[A-Za-z_]\w*", r"Count(\g<0>)", count)


def _for_short_floats(kernel: Kernel, name: str) -> str:
    """Put floats in the place of 16-bit floats: of all arrays, or in a map of a block at a time."""
    arrays = [p for p in kernel.parameters if p.is_array and p.type == name]
    if any(p.is_heads for p in arrays):
        raise ValueError(f"{kernel.family}.cu: {kernel.name} cannot widen arrays of heads")
    if kernel.mapped:
        data = ", ".join(f"array_{p.name}.data" for p in arrays)
        passed = [f"floats[{i}]" for i in range(len(arrays))]
        places = [f"at[{i}]" for i in range(len(arrays))]
        passed += [p.name for p in kernel.parameters[len(arrays) :]]
        steps = [
            f"void* const arrays[] = {{{data}}};",
            f"map_short(type_{name} == BF16, arrays, n, [=](auto& floats, Index n) {{",
            f"    {kernel.name}<float>({', '.join(passed)});",
            "});",
            *_recorded(
                kernel,
                {"T": "uint16_t"},
                [
                    f"void* const arrays[] = {{{', '.join(places)}}};",
                    f"map_short(type_{name} == BF16, arrays, n, [=](auto& floats, Index n) {{",
                    f"    {kernel.name}<float>({', '.join(passed)});",
                    "});",
                ],
            ),
            "return call.finish();",
        ]
    else:
        steps = [
            f"call.widen(array_{p.name}, type_{name}, {'READ' if p.is_input else 'WRITE'});"
            for p in arrays
        ]
        steps.append(f"type_{name} = F32;")
    body = "\n".join(f"        {step}" for step in steps)
    return f"    if (is_short(type_{name})) {{\n{body}\n    }}"


def _allocating(kernel: Kernel) -> str:
    """The same call, which makes its outputs itself."""
    slots = ", ".join(
        f"{{{s.role}, {s.type}, {str(s.wide).lower()}, {s.form}, {s.of}, "
        f"{{{', '.join(map(str, s.of_count))}}}}}"
        for s in slots_of(kernel) or ()
    )
    sums = any(p.word == "SUMS" for p in kernel.parameters)
    total = "guarded<call_column_total>" if sums else "nullptr"
    return (
        f"static PyObject* new_{kernel.name}"
        "(PyObject*, PyObject* const* args, Py_ssize_t given) {\n"
        f'    static const Entry entry("{kernel.name}", guarded<call_{kernel.name}>, '
        f"{total}, {allowed(kernel)}, {{{slots}}});\n"
        "    return entry.run(args, given);\n}"
    )


def _read(i: int, p: Parameter, kernel: Kernel) -> str:
    if not p.is_array:
        return (
            f'const {p.type} {p.name} = ({p.type})call.{C_TYPES[p.type].reader}({i}, "{p.name}");'
        )
    access = f"{'READ' if p.is_input else 'WRITE'}{' | OPTIONAL_ARRAY' if p.optional else ''}"
    if p.is_heads:
        return (
            f"const HeadsArray array_{p.name} = "
            f'call.heads({i}, "{p.name}", {access}, type_{p.type});'
        )
    if p.type in kernel.types:
        reader, wanted = "typed", f"type_{p.type}"
    elif p.type.startswith("Acc<"):
        reader, wanted = "accumulator", f"type_{p.type[4:-1]}"
    else:
        reader, wanted = "array", C_TYPES[p.type].constant
    constant = "" if p.type in kernel.widened else "const "
    return f'{constant}Array array_{p.name} = call.{reader}({i}, "{p.name}", {access}, {wanted});'


def _argument(p: Parameter, names: dict[str, str]) -> str:
    """What is passed for a parameter, its types written out."""
    if not p.is_array:
        return p.name
    cpp = _substitute(_cpp_type(p), names)
    return f"array_{p.name}.as<{cpp}>()" if p.is_heads else f"({cpp})array_{p.name}.data"


def _branch(kernel: Kernel, choice: tuple[str, ...]) -> str:
    names = dict(zip(kernel.types, choice, strict=True))
    arguments = ", ".join(_argument(p, names) for p in kernel.parameters)
    tests = [f"type_{name} == {C_TYPES[c].constant}" for name, c in names.items()]
    function = f"{kernel.name}<{', '.join(choice)}>" if choice else kernel.name
    lines = [f"{function}({arguments});", *_recording(kernel, names, function)]
    if not tests:
        return "\n".join(f"    {line}" for line in lines)
    body = "\n".join(f"        {line}" for line in [*lines, "return call.finish();"])
    return f"    if ({' && '.join(tests)}) {{\n{body}\n    }}"


# --- recording (host/record.h) ------------------------------------------------------------------


def _widened(kernel: Kernel) -> list[Parameter]:
    """The arrays that the kernel may be given as float, where a call is not done block by block."""
    if kernel.mapped:
        return []
    return [p for p in kernel.parameters if p.is_array and p.type in kernel.widened]


def _recorded(
    kernel: Kernel, names: dict[str, str], body: list[str], stored: str = ""
) -> list[str]:
    """Note a call in the open log: its arrays, its numbers, and how it is done again from `at`."""
    operands, scalars = [], []
    for p in kernel.parameters:
        if not p.is_array:
            scalars.append(p.name)
            continue
        cpp = _substitute(_cpp_type(p), names).replace("Acc < uint16_t >", "float")
        if p.is_heads:
            operands.append(f"operand<{cpp[cpp.index('<') + 1 : cpp.rindex('>')]}>(array_{p.name})")
            continue
        array = f"{stored if p.type in kernel.widened else ''}array_{p.name}"
        array = array.replace("stored_array_", "stored_")
        operands.append(f"operand(({cpp})({array}.data), {array}.size)")
    return [
        "if (recording())",
        f'    open_log()->note("{kernel.name}", {{{", ".join(operands)}}}, '
        f"{{{', '.join(scalars)}}}, [=](void* const* at) {{",
        *(f"        {line}" for line in body),
        f"    }}{kernel.traits});",
    ]


def _recording(kernel: Kernel, names: dict[str, str], function: str) -> list[str]:
    """Note a call of one instantiation; of one in the place of 16-bit floats with theirs."""
    arrays = [p for p in kernel.parameters if p.is_array]
    at = {p.name: f"at[{i}]" for i, p in enumerate(arrays)}
    wide = _widened(kernel) if "float" in names.values() else []
    if not kernel.mapped and wide:
        short = [
            "WidenedArrays floats;",
            *(
                f"float* const wide_{p.name} = {at[p.name]} ? floats.add({at[p.name]}, "
                f"stored_{p.name}.size, stored_type_{p.type} == BF16, "
                f"{str(not p.is_input).lower()}) : nullptr;"
                for p in wide
            ),
            f"{function}({_again(kernel, names, at, wide)});",
            "floats.round();",
        ]
        types = {name: "uint16_t" if name in kernel.widened else c for name, c in names.items()}
        test = " || ".join(f"is_short(stored_type_{name})" for name in sorted(kernel.widened))
        return [
            f"if (recording() && ({test})) {{",
            *(f"    {line}" for line in _recorded(kernel, types, short, "stored_")),
            "} else {",
            *(
                f"    {line}"
                for line in _recorded(kernel, names, [f"{function}({_again(kernel, names, at)});"])
            ),
            "}",
        ]
    return _recorded(kernel, names, [f"{function}({_again(kernel, names, at)});"])


def _again(
    kernel: Kernel, names: dict[str, str], at: dict[str, str], wide: list[Parameter] | tuple = ()
) -> str:
    """The arguments of a recorded call, its arrays where `at` says they are."""
    arguments = []
    for p in kernel.parameters:
        cpp = _substitute(_cpp_type(p), names)
        if not p.is_array:
            arguments.append(p.name)
        elif p.is_heads:
            arguments.append(f"moved(array_{p.name}, {at[p.name]}).as<{cpp}>()")
        elif p in wide:
            arguments.append(f"wide_{p.name}")
        else:
            arguments.append(f"({cpp}){at[p.name]}")
    return ", ".join(arguments)
