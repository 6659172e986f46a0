//! What must hold whatever clients do, in whatever order, with whatever rights.
//!
//! `SEED=n cargo test --test simulation random_actors` runs one seed and prints its steps;
//! `make sim SEEDS=n` runs many.

use testkit::random_actors::RandomActors;

/// Seeds that always run.
const SEEDS: u64 = 12;
const STEPS: usize = 90;

fn run(seed: u64) {
    let mut actors = RandomActors::new(seed);
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        (0..STEPS).for_each(|_| actors.step());
        actors.finish();
    }));
    if told.is_err() {
        let story = actors.story.join("\n  ");
        panic!("seed {seed}, after these steps:\n  {story}");
    }
}

#[test]
fn a5_b2_f2_g1_random_actors_never_break_the_rules() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    match number("SEED") {
        Some(seed) => run(seed),
        None => std::thread::scope(|scope| {
            for first in [1, 2] {
                scope.spawn(move || (first..=seeds).step_by(2).for_each(run));
            }
        }),
    }
}
