//! Medians as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::Result;
use crate::candidate::{Candidate, Work};
use crate::load::Sample;
use crate::rounds::Cell;

/// All samples of all cells.
pub(crate) struct Report {
    cells: Vec<(Cell, Vec<Sample>)>,
    /// The candidate that the others are compared with.
    base: Candidate,
}

/// The medians of a cell.
#[derive(Serialize)]
struct Row {
    candidate: Candidate,
    work: Work,
    in_flight: usize,
    rounds: usize,
    #[serde(flatten)]
    median: Sample,
    /// Spread of the rounds in CPU time: (maximum - minimum) / median.
    cpu_spread: f64,
    /// Median over the rounds of the CPU time relative to the base; absent in process.
    cpu_ratio: Option<f64>,
}

impl Report {
    pub(crate) fn new(cells: Vec<Cell>, base: Candidate) -> Self {
        let cells = cells.into_iter().map(|cell| (cell, Vec::new())).collect();
        Self { cells, base }
    }

    pub(crate) fn cell(&self, index: usize) -> Cell {
        self.cells[index].0
    }

    pub(crate) fn add(&mut self, index: usize, sample: Sample) {
        self.cells[index].1.push(sample);
    }

    /// Returns the order of the cells in a round: grouped by work and load, rotated by one per
    /// round.
    pub(crate) fn order(&self, round: usize) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.cells.len()).collect();
        let group = |index: &usize| (self.cell(*index).work, self.cell(*index).in_flight);
        for cells in order.chunk_by_mut(|a, b| group(a) == group(b)) {
            let turn = round % cells.len();
            cells.rotate_left(turn);
        }
        order
    }

    pub(crate) fn json(&self) -> Result<String> {
        let rows: Vec<_> = self.rows().collect();
        Ok(serde_json::to_string_pretty(&rows)? + "\n")
    }

    /// Returns the table in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "| call | in flight | | calls/s | p50 µs | p99 µs | CPU-s per 100k calls, client + server | relative to {} |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            self.base
        );
        for row in self.rows() {
            let ratio = row
                .cpu_ratio
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            let cpu = format!(
                "{:.2} + {:.2}",
                row.median.client_cpu, row.median.server_cpu
            );
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                table,
                "| {} | {} | {} | {:.0} | {:.1} | {:.1} | {cpu} | {ratio} |",
                row.work,
                row.in_flight,
                row.candidate.title(),
                row.median.calls_per_second,
                row.median.p50_us,
                row.median.p99_us,
            );
        }
        table
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.cells.iter().map(|(cell, samples)| {
            let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
            let cpu = of(Sample::cpu);
            let (least, most) = samples
                .iter()
                .map(Sample::cpu)
                .fold((f64::MAX, f64::MIN), |(least, most), cpu| {
                    (least.min(cpu), most.max(cpu))
                });
            Row {
                candidate: cell.candidate,
                work: cell.work,
                in_flight: cell.in_flight,
                rounds: samples.len(),
                median: Sample {
                    calls_per_second: of(|sample| sample.calls_per_second),
                    p50_us: of(|sample| sample.p50_us),
                    p99_us: of(|sample| sample.p99_us),
                    client_cpu: of(|sample| sample.client_cpu),
                    server_cpu: of(|sample| sample.server_cpu),
                },
                cpu_spread: (most - least) / cpu,
                cpu_ratio: self.ratio(cell, samples),
            }
        })
    }

    /// Compares within each round, so that a slow round affects both sides.
    fn ratio(&self, cell: &Cell, samples: &[Sample]) -> Option<f64> {
        if cell.candidate == Candidate::Local {
            return None;
        }
        let base = Cell {
            candidate: self.base,
            ..*cell
        };
        let (_, base) = self.cells.iter().find(|(cell, _)| *cell == base)?;
        Some(median(
            samples
                .iter()
                .zip(base)
                .map(|(own, base)| own.cpu() / base.cpu()),
        ))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[upper],
        _ => f64::midpoint(values[upper - 1], values[upper]),
    }
}
