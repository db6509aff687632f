//! Profiles of the memory that a process holds, with the feature `heap`.

use std::hint::black_box;
use std::io::Read as _;

use prost::Message as _;
use seawall_profile::messages::Profile;
use seawall_profile::{Allocator, heap, sample_heap};

#[global_allocator]
static ALLOCATOR: Allocator = seawall_profile::ALLOCATOR;

#[inline(never)]
fn keeps_the_letters() -> Vec<Vec<u8>> {
    (0..2_000_u32).map(|_| black_box(vec![1; 10_000])).collect()
}

/// What functions of this name hold, in bytes.
async fn held_by(name: &str) -> i64 {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&heap().await.unwrap()[..]).read_to_end(&mut bytes).unwrap();
    let profile = Profile::decode(&bytes[..]).unwrap();
    let text = |index: i64| profile.string_table[usize::try_from(index).unwrap()].as_str();
    assert_eq!((text(profile.sample_type[0].r#type), text(profile.sample_type[0].unit)), ("inuse_space", "bytes"));
    let functions = profile.function.iter().filter(|function| text(function.name).ends_with(name));
    let functions: Vec<u64> = functions.map(|function| function.id).collect();
    let places = profile.location.iter().filter(|at| at.line.iter().any(|line| functions.contains(&line.function_id)));
    let places: Vec<u64> = places.map(|place| place.id).collect();
    let samples = profile.sample.iter().filter(|sample| sample.location_id.iter().any(|id| places.contains(id)));
    samples.map(|sample| sample.value[0]).sum()
}

#[tokio::test]
async fn memory_is_of_whom_asked_for_it_until_it_is_given_back() {
    drop(keeps_the_letters());
    assert_eq!(held_by("keeps_the_letters").await, 0);
    sample_heap().await;
    let letters = keeps_the_letters();
    let held = held_by("keeps_the_letters").await;
    // 20 MB, of which about forty samples were taken.
    assert!((5_000_000..80_000_000).contains(&held), "{held}");
    drop(letters);
    assert_eq!(held_by("keeps_the_letters").await, 0);
}
