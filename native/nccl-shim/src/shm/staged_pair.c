/* An all-reduce over ordinary memory between two ranks, in the three steps of staged.c.
 *
 * The result goes back to where the input lay, in the other one's slot: so each cache line travels twice instead of four times. All that lies
 * between two barriers is done block by block, in turn: the result of segment k - 1 is taken out of this rank's slot, the input of k + 1 is
 * written to the lines just read, and k is reduced. Lines of the other core are asked for a block ahead, and come while the other two work. */
#include <string.h>

#include "staged.h"

enum { BLOCK = 1024 };

/* One of the three, in a segment: bytes of a slot, this rank's input and result beside them. */
typedef struct piece {
    char *slot, *result;
    const char *input;
    int64_t bytes;
} piece;

static piece piece_of(const staged *at, int64_t k, int32_t rank, char *slot) {
    if (k < 0 || k >= at->segments) return (piece){0};
    int64_t length, from = staged_slice(at, k, rank, &length), offset = (k * at->segment + from) * at->size;
    return (piece){slot + from * at->size, at->call->recv + offset, at->call->send + offset, length * at->size};
}

static int64_t rest(const piece *of, int64_t offset) { return offset < of->bytes ? staged_least(BLOCK, of->bytes - offset) : 0; }

/* Asks for lines of the other core. To read: asked for with the right to write they come no sooner. */
static void expect(const piece *of, int64_t offset) {
    int64_t bytes = rest(of, offset);
    for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(of->slot + offset + line, 0, 2);
}

/* Writing never overtakes taking, where both have the same slot: of a last, shorter segment the slices lie sooner. */
static void step(const staged *at, int64_t k) {
    shm *self = at->self;
    int32_t own = self->comm.rank, peer = 1 - own;
    char *mine = shm_slot(self, own, self->phase + 1), *theirs = shm_slot(self, peer, self->phase);
    piece taken = piece_of(at, k - 1, peer, mine), reduced = piece_of(at, k, own, theirs), written = piece_of(at, k + 1, peer, mine);
    expect(&taken, 0);
    expect(&reduced, 0);
    for (int64_t o = 0; o < taken.bytes || o < reduced.bytes || o < written.bytes; o += BLOCK) {
        int64_t takes = rest(&taken, o), writes = rest(&written, o), reduces = rest(&reduced, o);
        expect(&taken, o + BLOCK);
        if (takes) memcpy(taken.result + o, taken.slot + o, (size_t)takes);
        expect(&reduced, o + BLOCK);
        if (writes) memcpy(written.slot + o, written.input + o, (size_t)writes);
        if (reduces) {
            const char *both[2] = {own == 0 ? reduced.input + o : reduced.slot + o, own == 0 ? reduced.slot + o : reduced.input + o};
            char *to[2] = {reduced.result + o, reduced.slot + o};
            reduce(self->comm.kernels, at->call->dtype, at->call->op, to, 2, both, 2, reduces / at->size);
        }
    }
}

dt_status staged_pair(const staged *at) {
    for (int64_t k = 0; k < at->segments; k++) {
        step(at, k);
        dt_status status = shm_barrier(at->self);
        if (status != DT_OK) return status;
    }
    step(at, at->segments);
    return DT_OK;
}
