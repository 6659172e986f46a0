//! What must hold whatever people do, in whatever order, with whatever rights (see `crowd`).
//!
//! `SEED=n cargo test --test properties` runs one seed only, and tells the whole story.

use testkit::random_actors::RandomActors;

const SEEDS: u64 = 12;
const STEPS: usize = 90;

fn run(seed: u64) {
    let mut crowd = RandomActors::new(seed);
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        (0..STEPS).for_each(|_| crowd.step());
        crowd.finish();
    }));
    if told.is_err() {
        let story = crowd.story.join("\n  ");
        panic!("seed {seed}, after these steps:\n  {story}");
    }
}

#[test]
fn a5_b2_f2_g1_random_actors_never_break_the_rules() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    match seed {
        Some(seed) => run(seed),
        None => (1..=SEEDS).for_each(run),
    }
}
