/* Reductions, of our own making: MPI promises neither the same bits on all ranks nor NaN in minima, and knows no halves. Every rank owns a
 * chunk, gets all ranks' contributions to it, adds them along the fixed tree and passes the result on; segment by segment, the next one under
 * way while one is added. Few bytes: everyone gets everything and adds it all. The bits are those of shm, whatever the size and the way. */
#include <string.h>

#include "mpi_transport.h"

enum { SMALL_BYTES = 2048, CROWDED_SMALL_BYTES = 16 * 1024, SMALL_RANKS = 4, GATHERED_BYTES = 32 * 1024, CONTRIBUTION = 0, RESULT = 1 };
enum { IN = 0, OUT = 1, RESULT_IN = 2, RESULT_OUT = 3, KINDS = 4 };

typedef struct direct {
    mpi *self;
    const dt_call *call;
    int64_t size, segment, segments, share; /* bytes an element; elements */
    char *contributions, *results;          /* scratch of two steps */
    int32_t tag;
} direct;

static mpi_request *request_of(const direct *at, int kind, int64_t k, int32_t rank) {
    return &at->self->requests[((kind * 2 + (k & 1)) * at->self->comm.world_size) + rank];
}

/* More sources than the kernels take: blocks of the largest power of two are whole branches of the tree. */
static void reduce_all(mpi *self, const dt_call *call, char *to, const char *const *sources, char *blocks, int64_t count) {
    int32_t world = self->comm.world_size;
    if (world <= REDUCE_SOURCES_MAX) {
        reduce(self->comm.kernels, call->dtype, call->op, &to, 1, sources, world, count);
        return;
    }
    const char *partial[REDUCE_SOURCES_MAX];
    int32_t op = call->op == DT_AVERAGE ? DT_SUM : call->op, parts = 0;
    for (int32_t first = 0; first < world; first += REDUCE_SOURCES_MAX, parts++) {
        char *block = blocks + parts * count * dtype_bytes(call->dtype);
        int32_t rest = world - first;
        reduce(self->comm.kernels, call->dtype, op, &block, 1, sources + first, rest < REDUCE_SOURCES_MAX ? rest : REDUCE_SOURCES_MAX, count);
        partial[parts] = block;
    }
    if (count > 0) self->comm.kernels->kernel[call->dtype][op](&to, 1, partial, parts, count, call->op == DT_AVERAGE ? world : 1);
}

static int64_t least(int64_t left, int64_t right) { return left < right ? left : right; }

/* Where segment k of a rank's chunk lies in send, in elements. */
static int64_t chunk(const direct *at, int32_t owner, int64_t k, int64_t *length) {
    int64_t count = at->call->count, from, whole;
    if (at->call->verb == DT_VERB_REDUCE_SCATTER) {
        from = owner * count;
        whole = count;
    } else {
        from = least(at->share * owner, count);
        whole = least(at->share, count - from);
    }
    int64_t rest = whole - k * at->segment;
    *length = rest < 0 ? 0 : least(at->segment, rest);
    return from + k * at->segment;
}

/* Where another rank's contribution to my segment comes to. */
static char *contribution(const direct *at, int64_t k, int32_t rank) {
    return at->contributions + ((k & 1) * at->self->comm.world_size + rank) * at->segment * at->size;
}

static bool gets_results(const direct *at, int32_t rank) {
    return at->call->verb == DT_VERB_ALL_REDUCE || (at->call->verb == DT_VERB_REDUCE && at->call->root == rank);
}

static dt_status post(const direct *at, int64_t k) {
    mpi *self = at->self;
    int32_t world = self->comm.world_size, rank = self->comm.rank;
    dt_status status = DT_OK;
    int64_t mine, length;
    chunk(at, rank, k, &mine);
    for (int32_t step = 1; step < world && status == DT_OK; step++) {
        int32_t from = (rank + world - step) % world;
        if (mine) status = mpi_post_receive(self, self->work, request_of(at, IN, k, from), contribution(at, k, from), mine * at->size, from, at->tag + CONTRIBUTION);
    }
    for (int32_t step = 1; step < world && status == DT_OK; step++) {
        int32_t to = (rank + step) % world;
        int64_t start = chunk(at, to, k, &length);
        if (length) status = mpi_post_send(self, self->work, request_of(at, OUT, k, to), at->call->send + start * at->size, length * at->size, to, at->tag + CONTRIBUTION);
    }
    return status;
}

static dt_status complete_all(const direct *at, int kind, int64_t k) {
    dt_status status = DT_OK;
    for (int32_t rank = 0; rank < at->self->comm.world_size && status == DT_OK; rank++) status = mpi_complete(at->self, request_of(at, kind, k, rank));
    return status;
}

/* Adds my segment and passes it on. */
static dt_status finish_mine(const direct *at, int64_t k) {
    mpi *self = at->self;
    int32_t world = self->comm.world_size, rank = self->comm.rank;
    const dt_call *call = at->call;
    const char *sources[REDUCE_SOURCES_MAX], **source = sources, *all[world];
    int64_t length, start = chunk(at, rank, k, &length);
    dt_status status = complete_all(at, IN, k);
    if (status == DT_OK) status = complete_all(at, RESULT_OUT, k);
    if (status != DT_OK || length == 0) return status;
    if (world > REDUCE_SOURCES_MAX) source = all;
    for (int32_t other = 0; other < world; other++) source[other] = other == rank ? call->send + start * at->size : contribution(at, k, other);
    char *to = call->verb == DT_VERB_REDUCE_SCATTER ? call->recv + k * at->segment * at->size
               : gets_results(at, rank)             ? call->recv + start * at->size
                                                    : at->results + (k & 1) * at->segment * at->size;
    reduce_all(self, call, to, source, at->results + 2 * at->segment * at->size, length);
    for (int32_t step = 1; step < world && status == DT_OK; step++) {
        int32_t other = (rank + step) % world;
        if (gets_results(at, other))
            status = mpi_post_send(self, self->work, request_of(at, RESULT_OUT, k, other), to, length * at->size, other, at->tag + RESULT);
    }
    return status;
}

/* Others' results come to where my contributions to them lay: those must be gone. */
static dt_status await_others(const direct *at, int64_t k) {
    mpi *self = at->self;
    int32_t world = self->comm.world_size, rank = self->comm.rank;
    dt_status status = DT_OK;
    for (int32_t step = 1; step < world && status == DT_OK; step++) {
        int32_t other = (rank + step) % world;
        int64_t length, start = chunk(at, other, k, &length);
        status = mpi_complete(self, request_of(at, OUT, k, other));
        if (status == DT_OK) status = mpi_complete(self, request_of(at, RESULT_IN, k, other));
        if (status == DT_OK && length && gets_results(at, rank))
            status = mpi_post_receive(self, self->work, request_of(at, RESULT_IN, k, other), at->call->recv + start * at->size, length * at->size, other, at->tag + RESULT);
    }
    return status;
}

static dt_status run(const direct *at) {
    dt_status status = post(at, 0);
    for (int64_t k = 0; k < at->segments && status == DT_OK; k++) {
        if (k + 1 < at->segments) status = post(at, k + 1);
        if (status == DT_OK) status = finish_mine(at, k);
        if (status == DT_OK) status = await_others(at, k);
    }
    for (int kind = 0; kind < KINDS && status == DT_OK; kind++)
        for (int64_t k = 0; k < 2 && status == DT_OK; k++) status = complete_all(at, kind, k);
    return status;
}

/* 15 bits: calls that differ do not meet, and say so to each other when they have waited for a while. */
static int32_t tag_of(const mpi_said *call) {
    uint64_t h = (uint64_t)call->count * 0x9E3779B97F4A7C15ull ^ (uint64_t)(call->verb * 131 + call->dtype * 31 + call->op * 7 + call->root) * 0xBF58476D1CE4E5B9ull;
    return (int32_t)((h >> 57) << 1 | (call->sequence & 127) << 8);
}

static dt_status direct_reduce(mpi *self, const dt_call *call) {
    int64_t size = dtype_bytes(call->dtype), world = self->comm.world_size, line = 64 / size;
    int64_t blocks = world > REDUCE_SOURCES_MAX ? (world + REDUCE_SOURCES_MAX - 1) / REDUCE_SOURCES_MAX : 0;
    int64_t share = call->verb == DT_VERB_REDUCE_SCATTER ? call->count : ((call->count + world - 1) / world + line - 1) / line * line;
    int64_t most = ((int64_t)64 << 20) / (2 * world) / 64 * 64, bytes = least(self->segment_bytes, most < 4096 ? 4096 : most);
    int64_t segment = least(bytes / size, share);
    char *scratch = mpi_scratch(self, (2 * world + 2 + blocks) * segment * size);
    if (!scratch) return mpi_fail(self, DT_OUT_OF_MEMORY, (mpi_culprit){self->comm.rank, 0}, "rank %d: no memory for a reduction's segments", self->comm.rank);
    direct at = {self, call, size, segment, (share + segment - 1) / segment, share, scratch, scratch + 2 * world * segment * size, tag_of(&self->now)};
    return run(&at);
}

/* One message to each other rank. */
static dt_status trade_all(mpi *self, const dt_call *call, char *scratch, int64_t bytes) {
    int32_t world = self->comm.world_size, rank = self->comm.rank, tag = tag_of(&self->now);
    dt_status status = DT_OK;
    for (int32_t other = 0; other < world && status == DT_OK; other++)
        if (other != rank) status = mpi_post_receive(self, self->work, &self->requests[other], scratch + other * bytes, bytes, other, tag);
    for (int32_t other = 0; other < world && status == DT_OK; other++)
        if (other != rank) status = mpi_post_send(self, self->work, &self->requests[world + other], call->send, bytes, other, tag);
    for (int32_t i = 0; i < 2 * world && status == DT_OK; i++) status = mpi_complete(self, &self->requests[i]);
    return status;
}

static dt_status small_reduce(mpi *self, const dt_call *call, int64_t bytes) {
    int32_t world = self->comm.world_size, rank = self->comm.rank;
    const char *source[world];
    int64_t blocks = world > REDUCE_SOURCES_MAX ? (world + REDUCE_SOURCES_MAX - 1) / REDUCE_SOURCES_MAX : 0;
    char *scratch = mpi_scratch(self, (world + blocks) * bytes);
    if (!scratch) return mpi_fail(self, DT_OUT_OF_MEMORY, (mpi_culprit){rank, 0}, "rank %d: no memory for a small reduction", rank);
    dt_status status = world <= SMALL_RANKS ? trade_all(self, call, scratch, bytes) : mpi_gather_all(self, call->send, scratch, bytes);
    for (int32_t other = 0; other < world; other++) source[other] = other == rank ? call->send : scratch + other * bytes;
    if (status == DT_OK) reduce_all(self, call, call->recv, source, scratch + world * bytes, call->count);
    return status;
}

/* Equal on all ranks: it decides who sends what. */
static int64_t small_bytes(const mpi *self) {
    int32_t world = self->comm.world_size;
    return world > SMALL_RANKS ? GATHERED_BYTES / world : self->crowded ? CROWDED_SMALL_BYTES : SMALL_BYTES;
}

dt_status mpi_reduce(mpi *self, const dt_call *call) {
    int64_t bytes = call->count * dtype_bytes(call->dtype), world = self->comm.world_size;
    bool half = call->dtype == DT_F16 || call->dtype == DT_BF16;
    if (half && world > REDUCE_SOURCES_MAX)
        return comm_error(&self->comm, DT_UNSUPPORTED, "%s of %s over %d ranks: halves are rounded once, for up to %d ranks; use f32", verb_name(call->verb),
                          dtype_name(call->dtype), (int)world, REDUCE_SOURCES_MAX);
    if (bytes == 0) return mpi_barrier(self);
    dt_status status;
    if (call->verb == DT_VERB_ALL_REDUCE && bytes <= small_bytes(self))
        status = small_reduce(self, call, bytes);
    else
        status = direct_reduce(self, call);
    if (status != DT_OK) mpi_abandon(self, self->requests, 8 * (int32_t)world);
    return status;
}
