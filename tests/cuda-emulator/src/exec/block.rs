//! One block: its warps take turns, and meet at barriers (PTX ISA, section 9.7.13.1).
//!
//! A barrier without a count waits for all threads. Threads that exited do not hold it up, as in hardware, but that
//! is reported: CUDA leaves it undefined.

use super::control::{Barrier, BarrierKind};
use super::lanes::LANES;
use super::launch::Launch;
use super::program::thread_of;
use super::schedule::{self, Stop, Warp};
use super::{Action, Env};
use crate::check::{Fault, Kind, Report};
use crate::count::Counts;
use crate::memory::global::Stamp;
use crate::memory::shared::Shared;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// At the barrier of this instruction.
    Waiting(usize),
    Done,
}

/// One of the block's 16 barriers.
#[derive(Debug, Clone, Copy, Default)]
struct Meeting {
    waiting: u32,
    /// Came by `bar.arrive` and went on.
    passed: u32,
    votes: u32,
    threads: u32,
}

/// What one thread of the host needs to run block after block.
pub struct Worker<'a> {
    launch: &'a Launch<'a>,
    warps: Vec<Warp>,
    states: Vec<State>,
    meetings: [Meeting; 16],
    shared: Shared,
    hints: Vec<u32>,
    pub counts: Counts,
}

/// A fault, the warp that met it, and the instruction.
struct Incident {
    fault: Box<Fault>,
    warp: usize,
    pc: usize,
}

impl<'a> Worker<'a> {
    pub fn new(launch: &'a Launch<'a>) -> Worker<'a> {
        let threads = launch.threads();
        let count = threads.div_ceil(LANES);
        Worker {
            launch,
            warps: (0..count).map(|index| Warp::new(launch.program, index, threads)).collect(),
            states: vec![State::Ready; count],
            meetings: [Meeting::default(); 16],
            shared: Shared::new(launch.shared_bytes(), count),
            hints: vec![0; launch.program.code.len()],
            counts: Counts::default(),
        }
    }

    /// Runs one block to its end.
    pub fn run(&mut self, number: u64) -> Result<(), Box<Report>> {
        let block = self.launch.block_at(number);
        self.shared.reset();
        self.meetings = [Meeting::default(); 16];
        self.states.fill(State::Ready);
        for warp in &mut self.warps {
            warp.start(self.launch, block);
        }
        let stamp = Stamp::new(self.launch.serial, number);
        self.turns(stamp).map_err(|incident| Box::new(self.report(incident, block)))
    }

    fn turns(&mut self, stamp: Stamp) -> Result<(), Incident> {
        loop {
            let mut ran = false;
            for index in 0..self.warps.len() {
                if self.states[index] == State::Ready {
                    self.turn(index, stamp)?;
                    ran = true;
                }
            }
            if !ran {
                return self.all_done();
            }
        }
    }

    fn turn(&mut self, index: usize, stamp: Stamp) -> Result<(), Incident> {
        let mut env = Env {
            warp: &mut self.warps[index],
            shared: &mut self.shared,
            counts: &mut self.counts,
            hints: &mut self.hints,
            launch: self.launch,
            stamp,
            pc: 0,
        };
        let stop = schedule::run(&mut env);
        let pc = env.pc;
        match stop.map_err(|fault| Incident { fault, warp: index, pc })? {
            Stop::Slice => Ok(()),
            Stop::Barrier(pc) => self.arrive(index, pc),
            Stop::Finished => {
                self.states[index] = State::Done;
                (0..16).try_for_each(|id| self.try_release(id))
            }
        }
    }

    fn barrier(&self, pc: usize) -> &'a Barrier {
        match &self.launch.program.code[pc].action {
            Action::Barrier(barrier) => barrier,
            _ => unreachable!("warps stop at barriers only"),
        }
    }

    fn arrive(&mut self, index: usize, pc: usize) -> Result<(), Incident> {
        let barrier = self.barrier(pc);
        let class = self.launch.program.code[pc].class as usize;
        self.counts.warp_instructions[class] += 1;
        self.counts.thread_instructions[class] += u64::from(self.warps[index].live.count_ones());
        let id = Barrier::value(&self.warps[index], barrier.id) as usize;
        if id >= self.meetings.len() {
            let fault = Fault::new(Kind::Trap, 0, format!("barrier {id} of 16"));
            return Err(Incident { fault, warp: index, pc });
        }
        let meeting = &mut self.meetings[id];
        meeting.votes += barrier.votes(&self.warps[index]).count_ones();
        meeting.threads += self.warps[index].live.count_ones();
        if matches!(barrier.kind, BarrierKind::Arrive) {
            meeting.passed |= 1 << index;
            self.warps[index].release();
        } else {
            meeting.waiting |= 1 << index;
            self.states[index] = State::Waiting(pc);
        }
        self.try_release(id)
    }

    /// Lets the warps at a barrier go if all that it waits for have come.
    fn try_release(&mut self, id: usize) -> Result<(), Incident> {
        let meeting = self.meetings[id];
        let Some(first) = (0..self.warps.len()).find(|warp| meeting.waiting >> warp & 1 == 1) else {
            return Ok(());
        };
        let State::Waiting(pc) = self.states[first] else { return Ok(()) };
        let came = meeting.waiting | meeting.passed;
        let complete = match self.barrier(pc).count {
            Some(slot) => came.count_ones() * 32 >= Barrier::value(&self.warps[first], slot),
            None => (0..self.warps.len()).all(|w| came >> w & 1 == 1 || self.states[w] == State::Done),
        };
        if !complete {
            return Ok(());
        }
        if self.barrier(pc).count.is_none() {
            self.check_exited(first, pc)?;
        }
        self.shared.meet(came, meeting.waiting);
        for index in (0..self.warps.len()).filter(|warp| meeting.waiting >> warp & 1 == 1) {
            let State::Waiting(pc) = self.states[index] else { continue };
            self.barrier(pc).conclude(&mut self.warps[index], meeting.votes, meeting.threads);
            self.warps[index].release();
            self.states[index] = State::Ready;
        }
        self.meetings[id] = Meeting::default();
        Ok(())
    }

    /// A barrier of the whole block that threads have exited before.
    fn check_exited(&self, waiting: usize, pc: usize) -> Result<(), Incident> {
        let Some(warp) = self.warps.iter().find(|warp| warp.live != warp.exists) else { return Ok(()) };
        let lane = (warp.exists & !warp.live).trailing_zeros() as usize;
        let [x, y, z] = thread_of(warp.index * LANES + lane, self.launch.block);
        let detail = format!("thread ({x},{y},{z}) has exited and never comes to this barrier");
        let here = self.warps[waiting].live.trailing_zeros() as usize;
        Err(Incident { fault: Fault::new(Kind::DivergentBarrier, here, detail), warp: waiting, pc })
    }

    /// No warp can run: fine if all are done.
    fn all_done(&self) -> Result<(), Incident> {
        let stuck: Vec<(usize, usize)> = (0..self.warps.len())
            .filter_map(|warp| match self.states[warp] {
                State::Waiting(pc) => Some((warp, pc)),
                _ => None,
            })
            .collect();
        let Some(&(warp, pc)) = stuck.first() else { return Ok(()) };
        let places: Vec<String> = stuck
            .iter()
            .map(|(warp, pc)| format!("warp {warp} at line {}", self.launch.program.places[*pc].line))
            .collect();
        let detail = format!("nobody else will come; waiting are {}", places.join(", "));
        let lane = self.warps[warp].live.trailing_zeros() as usize;
        Err(Incident { fault: Fault::new(Kind::DivergentBarrier, lane, detail), warp, pc })
    }

    fn report(&self, incident: Incident, block: [u32; 3]) -> Report {
        let Incident { fault, warp, pc } = incident;
        let place = &self.launch.program.places[pc];
        Report {
            kind: fault.kind,
            kernel: self.launch.program.name.clone(),
            line: place.line,
            instruction: place.text.clone(),
            block,
            thread: thread_of(warp * LANES + fault.lane, self.launch.block),
            detail: fault.detail,
        }
    }
}
