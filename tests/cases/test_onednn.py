"""oneDNN's traces, read into kernels: lines of several versions, lines of other things, and a real trace."""

import os

import pytest

from mnv1.cases import DEVICES
from mnv1.cases.devices import onednn
from mnv1.cases.devices.kernels import Kernel
from mnv1.cases.devices.onednn import kernels_of

POINTWISE = "mb1_ic32oc64_ih112oh112kh1sh1dh0ph0_iw112ow112kw1sw1dw0pw0"
DEPTHWISE = "mb1_g32ic32oc32_ih112oh112kh3sh1dh0ph1_iw112ow112kw3sw1dw0pw1"
GROUPED = "mb1_g4ic32oc32_ih112oh112kh3sh1dh0ph1_iw112ow112kw3sw1dw0pw1"
STEM = "mb1_ic3oc32_ih224oh112kh3sh2dh0ph1_iw224ow112kw3sw2dw0pw1"

VERSIONS = {
    "1.3": (
        "dnnl_verbose,exec,cpu,convolution,jit_1x1:avx2,forward_training,src_f32::blocked:aBcd8b:f0 "
        "wei_f32::blocked:ABcd8b8a:f0 bia_f32::blocked:a:f0 dst_f32::blocked:aBcd8b:f0,,alg:convolution_direct,"
        f"{POINTWISE},0.5"
    ),
    "2.7": (
        "onednn_verbose,exec,cpu,convolution,jit_1x1:avx2,forward_training,src_f32::blocked:aBcd8b:f0 "
        "wei_f32:p:blocked:ABcd8b8a:f0 bia_undef::undef::f0 dst_f32::blocked:aBcd8b:f0,attr-scratchpad:user ,"
        f"alg:convolution_direct,{POINTWISE},0.5"
    ),
    "2.7 with timestamps": (
        "onednn_verbose,1693533460193.2,exec,cpu,convolution,jit_1x1:avx2,forward_training,"
        "src_f32::blocked:aBcd8b:f0 wei_f32:p:blocked:ABcd8b8a:f0 bia_undef::undef::f0 dst_f32::blocked:aBcd8b:f0,"
        f"attr-scratchpad:user ,alg:convolution_direct,{POINTWISE},0.5"
    ),
    "3.3": (
        "onednn_verbose,primitive,exec,cpu,convolution,jit_1x1:avx2,forward_training,src_f32:a:blocked:aBcd8b::f0 "
        "wei_f32:a:blocked:ABcd8b8a::f0 bia_f32:a:blocked:a::f0 dst_f32:a:blocked:aBcd8b::f0,attr-scratchpad:user ,"
        f"alg:convolution_direct,{POINTWISE},0.5"
    ),
    "3.7": (
        "onednn_verbose,v1,primitive,exec,cpu,convolution,jit_1x1:avx2,forward_inference,src:f32:a:blocked:aBcd8b::f0 "
        "wei:f32:a:blocked:ABcd8b8a::f0 bia:f32:a:blocked:a::f0 dst:f32:a:blocked:aBcd8b::f0,attr-scratchpad:user,"
        f"alg:convolution_direct,{POINTWISE},0.5"
    ),
}


def exec_line(primitive, implementation, memory, shape, milliseconds="0.25"):
    return f"onednn_verbose,v1,primitive,exec,cpu,{primitive},{implementation},undef,{memory},,,{shape},{milliseconds}"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_says_the_same(version):
    expected = Kernel("pointwise", "jit_1x1:avx2", "aBcd8b", POINTWISE, 0.0005)
    assert kernels_of(VERSIONS[version]) == [expected]


@pytest.mark.parametrize(
    ("line", "kernel", "layouts"),
    [
        (exec_line("convolution", "jit_dw:avx2", "src:f32::blocked:aBcd8b::f0", DEPTHWISE), "depthwise", "aBcd8b"),
        (exec_line("convolution", "jit:avx2", "src:f32::blocked:aBcd8b::f0", GROUPED), "standard", "aBcd8b"),
        (
            exec_line("convolution", "jit:avx2", "src:f32::blocked:abcd::f0 dst:f32::blocked:aBcd8b::f0", STEM),
            "standard",
            "abcd → aBcd8b",
        ),
        (
            exec_line("convolution", "jit:avx2", "src:f32::blocked:abc::f0", "mb1_ic8oc8_iw9ow9kw1sw1dw0pw0"),
            "pointwise",
            "abc",
        ),
        (
            exec_line("reorder", "jit:blk", "src:f32::blocked:abcd::f0 dst:f32::blocked:aBcd8b::f0", "1x32x112x112"),
            "images",
            "abcd → aBcd8b",
        ),
        (
            exec_line("reorder", "jit:uni", "src:f32::blocked:acdb::f0 dst:f32::blocked:abcd::f0", "1x32x112x112"),
            "images",
            "acdb → abcd",
        ),
        (
            exec_line("reorder", "jit:blk", "src:f32::blocked:abcd::f0 dst:f32::blocked:ABcd8b8a::f0", "64x32x1x1"),
            "weights",
            "abcd → ABcd8b8a",
        ),
        (
            exec_line("reorder", "jit:uni", "src:f32::blocked:abcde::f0 dst:bf16::blocked:debcA16a::f0", "96x1x1x3x3"),
            "weights",
            "abcde f32 → debcA16a bf16",
        ),
        (
            exec_line("reorder", "jit:uni", "src:f32::blocked:abcd::f0 dst:bf16::blocked:abcd::f0", "1x3x224x224"),
            "cast",
            "abcd f32 → abcd bf16",
        ),
        (
            exec_line("matmul", "brg:avx2", "src:f32::blocked:ab::f0 dst:f32::blocked:ab::f0", "1x8:8x4"),
            "linear",
            "ab",
        ),
        (exec_line("eltwise", "jit:avx2", "data_f32::blocked:abcd::f0", "1x8x4x4"), "activation", "abcd"),
        (exec_line("tomorrow", "jit:avx1024", "anything", "1x8"), "other", ""),
    ],
)
def test_types_of_primitives(line, kernel, layouts):
    assert kernels_of(line) == [Kernel(kernel, *line.split(",")[6:7], layouts, line.split(",")[-2], 0.00025)]


def test_what_is_no_execution_is_left_out():
    whole = VERSIONS["3.7"]
    others = [
        "onednn_verbose,v1,info,oneDNN v3.7.1 (commit 8d263e693366ef8db40acc569cc7d8edf644556d)",
        "onednn_verbose,v1,info,cpu,runtime:OpenMP,nthr:2",
        "onednn_verbose,v1,primitive,info,template:operation,engine,primitive,implementation,prop_kind,"
        "memory_descriptors,attributes,auxiliary,problem_desc,exec_time",
        whole.replace(",exec,", ",create:cache_miss,"),
        "onednn_verbose,primitive,exec:check,primitive,unused primitive execution argument (4113),src/x.cpp:74",
        "what somebody printed",
        "",
        *(whole[:end] for end in (10, 40, 120, len(whole) - len("0.5"))),  # cut off
        whole.replace("0.5", "soon"),
    ]
    assert kernels_of("\n".join([*others, whole])) == kernels_of(whole)


def test_a_real_trace_has_each_calls_kernels_and_leaves_standard_output_alone(capfd):
    import torch

    if not onednn.is_traceable():
        pytest.skip("this torch has no oneDNN")
    layer = torch.nn.Conv2d(16, 16, 3, groups=16).eval()
    images = torch.randn(2, 16, 32, 32)

    def call():
        with torch.inference_mode():
            return layer(images)

    call()
    traced = DEVICES["cpu"].kernels(call, 3)
    os.write(1, b"still here\n")
    assert len(traced) == 3
    if not traced[0]:
        pytest.skip("torch took another library for this layer here")
    for kernels in traced:
        assert [one.kernel for one in kernels].count("depthwise") == 1
        assert all(one.seconds >= 0 for one in kernels)
    assert capfd.readouterr().out == "still here\n"
