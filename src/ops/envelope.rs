//! The lower envelope of parabolas along a line: the one-dimensional step of every exact distance transform
//! (Felzenszwalb and Huttenlocher, Theory of Computing 8, 2012; Meijster et al. 2000), in integers.
//!
//! For sites p with heights h(p): `min over p of h(p) + step (x - p)^2` for every x, in time linear in the
//! line. Equal values go to the site of the smaller label, which keeps the result independent of every order.

/// A site on the line and the first x at which it is better than all sites before it.
#[derive(Clone, Copy)]
struct Site {
    position: i64,
    height: i64,
    label: u32,
    first: i64,
}

/// The envelope; its memory serves for many lines.
#[derive(Default)]
pub(super) struct Envelope {
    sites: Vec<Site>,
    step: i64,
}

impl Envelope {
    /// An empty envelope for parabolas `step (x - p)^2`.
    pub(super) fn new(step: u32) -> Self {
        Self { sites: Vec::new(), step: i64::from(step) }
    }

    /// Forgets all sites.
    pub(super) fn clear(&mut self) {
        self.sites.clear();
    }

    /// Adds a site to the right of all others.
    pub(super) fn push(&mut self, position: i64, height: u32, label: u32) {
        let mut site = Site { position, height: i64::from(height), label, first: i64::MIN };
        while let Some(last) = self.sites.last() {
            site.first = self.first_better(last, &site);
            if site.first > last.first {
                break;
            }
            self.sites.pop();
            site.first = i64::MIN;
        }
        self.sites.push(site);
    }

    /// The least x at which `right` is better than `left`.
    fn first_better(&self, left: &Site, right: &Site) -> i64 {
        // right is better where x * slope > rise, and as good where they are equal
        let slope = 2 * self.step * (right.position - left.position);
        let squares = (right.position - left.position) * (right.position + left.position);
        let rise = right.height - left.height + self.step * squares;
        if right.label < left.label { -(-rise).div_euclid(slope) } else { rise.div_euclid(slope) + 1 }
    }

    /// Calls `found(x, value, label)` for every x of the range; does nothing without a site.
    pub(super) fn for_each(&self, range: std::ops::Range<i64>, mut found: impl FnMut(usize, u32, u32)) {
        for (number, site) in self.sites.iter().enumerate() {
            let end = self.sites.get(number + 1).map_or(range.end, |next| next.first.min(range.end));
            for x in site.first.max(range.start)..end {
                let away = x - site.position;
                found(x as usize, (site.height + self.step * away * away) as u32, site.label);
            }
        }
    }
}
