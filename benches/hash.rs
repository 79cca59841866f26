//! What proving costs: SHA-256 over the bytes, and the check of a client's midstates beside it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use overside::domain::hash::Hasher;
use overside::domain::midstate::Midstate;

const MIB: usize = 1024 * 1024;
/// The default part: what one midstate check hashes.
const PART: usize = 8 * MIB;

fn hashing(criterion: &mut Criterion) {
    let part = vec![7; PART];
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Bytes(PART as u64));
    group.bench_function("8 MiB from the beginning", |bencher| {
        bencher.iter(|| {
            let mut hasher = Hasher::default();
            hasher.update(black_box(&part));
            hasher.finish()
        });
    });
    let mut before = Hasher::default();
    before.update(&part);
    let midstate = Midstate::of(&before).unwrap_or_else(|| panic!("whole blocks have a midstate"));
    group.bench_function("8 MiB from one midstate to the next", |bencher| {
        bencher.iter(|| {
            let mut hasher = black_box(midstate).resume(PART as u64).unwrap_or_default();
            hasher.update(black_box(&part));
            Midstate::of(&hasher)
        });
    });
    group.finish();
    let state = before.save();
    criterion.bench_function("save and resume a hash state", |bencher| {
        bencher.iter(|| Hasher::resume(black_box(&state)).map(|hasher| hasher.save()));
    });
    let text = midstate.to_string();
    criterion.bench_function("parse and write a midstate", |bencher| {
        bencher.iter(|| black_box(&text).parse::<Midstate>().map(|midstate| midstate.to_string()));
    });
}

criterion_group!(benches, hashing);
criterion_main!(benches);
