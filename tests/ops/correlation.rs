//! The loops behind all convolutions: the same bits on every instruction set that the machine has.
use tascan::device::cpu::dot::{self, OUTPUTS};
use tascan::device::cpu::gather::{self, Row};
use tascan::device::cpu::outer::{self, Operands};
use tascan::device::cpu::simd::Isa;

use super::grids::noise;

/// Result of `compute` on each instruction set; all must be the same bits, and written everywhere.
fn assert_same_bits(compute: impl Fn(Isa) -> Vec<f32>) {
    let expected = compute(Isa::Portable);
    assert!(expected.iter().all(|value| value.is_finite()), "something was left unwritten");
    for isa in Isa::available() {
        assert!(compute(isa) == expected, "{isa:?} differs from plain Rust");
    }
}

#[test]
fn gather_is_the_same_on_every_instruction_set() {
    for (channels, step) in [(2, 2), (3, 3), (32, 32), (64, 64), (64, 128)] {
        for count in [1, 2, 5, 6, 7, 12, 13, 26, 37] {
            let starts = [5, 0, 40];
            let stretch = 2 * channels;
            let (input, weights) = (noise(40 + count * step + stretch, 1), noise(64 * 3 * stretch, 2));
            let bias = noise(64, 3);
            assert_same_bits(|isa| {
                let windows = gather::Windows {
                    input: &input,
                    starts: &starts,
                    stretch,
                    step,
                    weights: &weights,
                    bias: &bias,
                };
                let mut out = vec![f32::NAN; 64 * count];
                gather::gather(isa, &windows, Row { data: &mut out, step: 64, count });
                out
            });
        }
    }
}

#[test]
fn outer_is_the_same_on_every_instruction_set() {
    for (a_step, b_channels) in [(2, 32), (3, 32), (64, 64), (128, 64)] {
        for (stretch, count) in [(1, 1), (9, 7), (16, 2), (64, 33)] {
            let (a, b) = (noise(a_step * count + stretch, 1), noise(b_channels * count, 2));
            assert_same_bits(|isa| {
                let mut dw = noise(stretch * b_channels, 3);
                outer::outer(isa, &Operands { a: &a, a_step, b: &b, b_channels, count }, &mut dw);
                dw
            });
        }
    }
}

#[test]
fn dot_is_the_same_on_every_instruction_set() {
    for count in [1, 2, 7, 8, 9, 21] {
        let starts = [3, 0];
        let (input, weights) = (noise(3 + count * dot::STEP + 96, 1), noise(OUTPUTS * 2 * 96, 2));
        assert_same_bits(|isa| {
            let windows = dot::Windows {
                input: &input,
                starts: &starts,
                stretch: 96,
                weights: &weights,
                bias: [0.5, -0.25, 2.0],
            };
            let mut out = vec![[f32::NAN; OUTPUTS]; count];
            dot::dot(isa, &windows, &mut out);
            out.concat()
        });
    }
}
