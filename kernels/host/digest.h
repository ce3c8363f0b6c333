// Sums that tell whether the bytes of a file are those that were written: see tensorlite/io/digest.py.
#pragma once

#include <sys/types.h>

#include "types.h"

namespace tl {

constexpr Index kSumsBlock = 1 << 18;  // bytes that have sums of their own; fits the second cache
constexpr int kSums = 16;              // numbers of 64 bits for a block

constexpr Index blocks_of(Index bytes) { return (bytes + kSumsBlock - 1) / kSumsBlock; }

// The sums of a block, of at most kSumsBlock bytes.
void sum_block(const uint8_t* bytes, Index count, uint64_t* sums);

// What became of reading or writing: how many bytes were, and the system's error, 0 for none.
struct Transfer {
    Index done;
    int error;
};

// Reads from a place of a file, on all threads, and takes the sums of each block while it lies in a
// cache. Fewer bytes are done where the file ends.
Transfer read_summed(int file, off_t at, uint8_t* bytes, Index count, uint64_t* sums);

// Takes the sums of each block and writes it, in this thread: the others compute.
Transfer write_summed(int file, const uint8_t* bytes, Index count, uint64_t* sums);

}  // namespace tl
