//! The course of a run as a picture, `loss.png`: loss of each step, its running mean, and validation scores.
use std::path::Path;

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_7X13;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Line, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};

use super::log::Row;
use crate::error::{Error, Result};
use crate::io::aside;

const WIDTH: u32 = 900;
const HEIGHT: u32 = 520;
/// Margins left, right, above and below the plot.
const MARGINS: [i32; 4] = [72, 72, 36, 52];
/// Ticks an axis has at most.
const TICKS: f64 = 8.0;

const INK: Rgb888 = Rgb888::new(40, 40, 40);
const GRID: Rgb888 = Rgb888::new(225, 225, 225);
const EACH: Rgb888 = Rgb888::new(170, 200, 235);
const MEAN: Rgb888 = Rgb888::new(20, 80, 170);
const SCORE: Rgb888 = Rgb888::new(210, 90, 20);

/// Pixels, row by row.
struct Canvas {
    rgb: Vec<u8>,
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(WIDTH, HEIGHT)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Self::Error> {
        for Pixel(at, color) in pixels {
            if Rectangle::new(Point::zero(), self.size()).contains(at) {
                let start = (at.y as usize * WIDTH as usize + at.x as usize) * 3;
                self.rgb[start..start + 3].copy_from_slice(&[color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

/// Where values of one pair of axes lie on the canvas.
struct Axes {
    x: [f64; 2],
    y: [f64; 2],
}

impl Axes {
    fn point(&self, x: f64, y: f64) -> Point {
        let [left, right, above, below] = MARGINS;
        let share = |value: f64, [low, high]: [f64; 2]| ((value - low) / (high - low)).clamp(0.0, 1.0);
        let width = f64::from(WIDTH as i32 - left - right);
        let height = f64::from(HEIGHT as i32 - above - below);
        Point::new(
            left + (share(x, self.x) * width).round() as i32,
            above + ((1.0 - share(y, self.y)) * height).round() as i32,
        )
    }
}

impl Canvas {
    fn line(&mut self, from: Point, to: Point, color: Rgb888, width: u32) {
        let Ok(()) = Line::new(from, to).into_styled(PrimitiveStyle::with_stroke(color, width)).draw(self);
    }

    fn text(&mut self, text: &str, at: Point, alignment: Alignment, color: Rgb888) {
        let style = TextStyleBuilder::new().alignment(alignment).baseline(Baseline::Middle).build();
        let Ok(_) = Text::with_text_style(text, at, MonoTextStyle::new(&FONT_7X13, color), style).draw(self);
    }

    fn course(&mut self, axes: &Axes, points: &[(f64, f64)], color: Rgb888, width: u32) {
        for pair in points.windows(2) {
            self.line(axes.point(pair[0].0, pair[0].1), axes.point(pair[1].0, pair[1].1), color, width);
        }
    }

    /// Grid, ticks and labels: steps below, the loss on the left, the score on the right.
    fn frame(&mut self, loss: &Axes, score: &Axes) {
        let [x, y] = [loss.x, loss.y];
        for tick in ticks(y) {
            let at = loss.point(x[0], tick);
            self.line(at, loss.point(x[1], tick), GRID, 1);
            self.text(&label(tick), at - Point::new(6, 0), Alignment::Right, INK);
        }
        for tick in ticks(x) {
            let at = loss.point(tick, y[0]);
            self.line(at, loss.point(tick, y[1]), GRID, 1);
            self.text(&label(tick), at + Point::new(0, 12), Alignment::Center, INK);
        }
        for tick in ticks(score.y) {
            let at = score.point(x[1], tick);
            self.text(&label(tick), at + Point::new(6, 0), Alignment::Left, SCORE);
        }
        for (from, to) in
            [((x[0], y[0]), (x[1], y[0])), ((x[0], y[0]), (x[0], y[1])), ((x[1], y[0]), (x[1], y[1]))]
        {
            self.line(loss.point(from.0, from.1), loss.point(to.0, to.1), INK, 1);
        }
        let [left, _, above, _] = MARGINS;
        self.text("loss", Point::new(left, above / 2), Alignment::Left, MEAN);
        let right = Point::new(WIDTH as i32 - 8, above / 2);
        self.text("validation: mean one-to-one Dice", right, Alignment::Right, SCORE);
        let below = Point::new(WIDTH as i32 / 2, HEIGHT as i32 - 16);
        self.text("step", below, Alignment::Center, INK);
    }
}

/// Round numbers within a range.
fn ticks([low, high]: [f64; 2]) -> impl Iterator<Item = f64> {
    let rough = (high - low) / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|&step| step >= rough);
    let step = step.unwrap_or(high - low);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(move |i| i as f64 * step)
}

/// A tick's number without needless digits.
fn label(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The mean over the steps up to each one, over a fiftieth of the run.
fn running_mean(losses: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let width = (losses.len() / 50).max(1);
    let mut sum = 0.0;
    let mean = |(i, &(step, loss)): (usize, &(f64, f64))| {
        sum += loss;
        if i >= width {
            sum -= losses[i - width].1;
        }
        (step, sum / (i + 1).min(width) as f64)
    };
    losses.iter().enumerate().map(mean).collect()
}

/// Draws the course of a run into a PNG file.
///
/// # Errors
/// Where the file cannot be written.
pub fn draw(path: &Path, rows: &[Row]) -> Result<()> {
    let losses: Vec<(f64, f64)> = rows.iter().map(|row| (row.step as f64, row.loss)).collect();
    let scored = |row: &Row| row.validation.map(|scored| (row.step as f64, scored.dsc));
    let scores: Vec<(f64, f64)> = rows.iter().filter_map(scored).collect();
    let last = rows.last().map_or(1.0, |row| row.step as f64).max(1.0);
    let highest = losses.iter().map(|&(_, loss)| loss).fold(0.1, f64::max);
    let (by_loss, by_score) =
        (Axes { x: [0.0, last], y: [0.0, highest] }, Axes { x: [0.0, last], y: [0.0, 1.0] });

    let mut canvas = Canvas { rgb: vec![255; (WIDTH * HEIGHT * 3) as usize] };
    canvas.frame(&by_loss, &by_score);
    canvas.course(&by_loss, &losses, EACH, 1);
    canvas.course(&by_loss, &running_mean(&losses), MEAN, 2);
    canvas.course(&by_score, &scores, SCORE, 2);
    aside::write(
        path,
        &encode(&canvas).map_err(|e| Error::format(path, e.to_string(), "a picture to write"))?,
    )
}

fn encode(canvas: &Canvas) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&canvas.rgb)?;
    writer.finish()?;
    Ok(bytes)
}
