"""The Triton kernels: right by Triton's interpreter, and compiled for the cards they are meant for.

Nothing here runs on a GPU. `kernel_cases.py` holds the comparisons with plain torch.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


@pytest.mark.slow
def test_kernels_give_the_numbers_of_plain_torch():
    """All cases, in a process that was told to interpret before it imported triton."""
    cases = str(Path(__file__).with_name("kernel_cases.py"))
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", cases]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)

    assert done.returncode == 0, done.stdout[-4000:]
    assert "skipped" not in done.stdout


@pytest.mark.slow
def test_every_kernel_compiles_for_the_cards_it_is_meant_for():
    """Down to machine code, with no register spilled: A100 and H100 or H200; nothing is run."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    words = [sys.executable, "-c", COMPILE]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)

    assert done.returncode == 0, done.stderr[-2000:]
    found = [line.split() for line in done.stdout.splitlines()]
    kernels = ["_unpack", "_few_rows", "_few_rows_plain", "_forward", "_backward"]
    assert [name for name, *_ in found] == [name for name in kernels for _ in range(2)]
    assert all(int(registers) <= 128 and stack == "0" for _, registers, stack in found), found


COMPILE = """
import itertools, pathlib, re, subprocess, tempfile
import triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from bimedix.model import kernels as k

bf, f32, i64, u8, size = "*bf16", "*fp32", "*i64", "*u8", "i32"
few = {"x": bf, "rows": i64, "starts": i64, "out": bf, "inputs": size, "outputs": size}
activation = {"gate_up": bf, "shares": bf, "width": size}
cases = [
    (k._unpack, {"packed": u8, "scales": bf, "levels": f32, "out": bf, "blocks": size}, k.UNPACK),
    (k._few_rows, {**few, "packed": u8, "scales": bf, "levels": f32},
     {"ROUND": tl.bfloat16, "ROWS": 8, **k._tile(8, {})[0]}),
    (k._few_rows_plain, {**few, "weights": f32}, {"ROWS": 1, **k._tile(1, {})[0]}),
    (k._forward, {**activation, "out": bf}, {"SHARES": True, **k.SWIGLU}),
    (k._backward, {**activation, "dh": bf, "dgate_up": bf, "dshares": f32}, k.SWIGLU),
]
dump = pathlib.Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
for (kernel, types, chosen), capability in itertools.product(cases, (80, 90)):
    types = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    aligned = {(at,): [["tt.divisibility", 16]] for at, t in enumerate(types.values()) if t != "constexpr"}
    constants = {name: value for name, value in chosen.items() if name != "num_warps"}
    source = ASTSource(kernel, types, constants, aligned)
    target = GPUTarget("cuda", capability, 32)
    made = triton.compile(source, target=target, options={"num_warps": chosen["num_warps"]})
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        pathlib.Path(file.name).write_bytes(made.asm["cubin"])
        told = subprocess.run([dump, "-res-usage", file.name], capture_output=True, text=True).stdout
    print(kernel.__name__, re.search("REG:([0-9]+)", told)[1], re.search("STACK:([0-9]+)", told)[1])
"""
