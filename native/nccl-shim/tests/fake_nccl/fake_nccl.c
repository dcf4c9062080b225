#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../values.h"
#include "disttrain_shim.h"
#include "fake.h"

#ifndef FAKE_VERSION
#define FAKE_VERSION 22105
#endif

enum { SUCCESS = 0, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, IN_PROGRESS = 7, RANKS_MAX = 16, SLOTS = 4096, IDS = 256, TRANSFERS_MAX = 4096 };

FAKE_API int ncclGetVersion(int *version) {
    *version = FAKE_VERSION;
    return SUCCESS;
}

#ifndef FAKE_VERSION_ALONE

typedef struct id { char bytes[128]; } id;
typedef struct config { size_t size; unsigned int magic, version; int blocking, unset; } config;
typedef struct comm comm;

typedef struct part { comm *of; const void *send; void *recv; void *stream; } part;
typedef struct slot { /* one collective */
    const char *name;
    size_t count;
    int dtype, op, root, arrived;
    part parts[RANKS_MAX];
    int colors[RANKS_MAX], keys[RANKS_MAX]; /* of a split */
    comm *made[RANKS_MAX];
} slot;
typedef struct transfer { comm *from, *to; int other; void *buffer; size_t count; int dtype; void *stream; } transfer; /* from or to is NULL: not there yet */

typedef struct world {
    id name;
    int size, joined, left;
    comm *members[RANKS_MAX];
    slot *slots;
    transfer waiting[TRANSFERS_MAX];
    int waiting_count;
    struct world *next;
} world;

struct comm {
    world *in;
    int rank, in_progress, pending_split;
    uint64_t next;
};

typedef struct queued { const char *name; comm *on; const void *send; void *recv; size_t count; int dtype, op, root; void *stream; } queued;

static world *s_worlds;
static id s_ids[IDS];
static int s_id_count, s_in_progress, s_error;
static bool s_hang;
static _Thread_local int s_depth;
static _Thread_local queued s_group[TRANSFERS_MAX];
static _Thread_local int s_group_count;

void fake_nccl_in_progress(int times) { fake_lock(); s_in_progress = times; fake_unlock(); }
void fake_nccl_hang(bool hang) { fake_lock(); s_hang = hang; fake_unlock(); }
void fake_nccl_error(int result) { fake_lock(); s_error = result; fake_unlock(); }

static int dt_of(int dtype) {
    switch (dtype) {
    case 2: return DT_I32;
    case 4: return DT_I64;
    case 6: return DT_F16;
    case 7: return DT_F32;
    case 8: return DT_F64;
    case 9: return DT_BF16;
    default: return -1; /* bytes */
    }
}

int64_t fake_dtype_bytes(int32_t dtype) {
    static const int sizes[] = {[DT_F32] = 4, [DT_F64] = 8, [DT_I32] = 4, [DT_I64] = 8, [DT_F16] = 2, [DT_BF16] = 2};
    return sizes[dtype];
}

static size_t size_of(int dtype) { return dt_of(dtype) < 0 ? 1 : (size_t)fake_dtype_bytes(dt_of(dtype)); }

static void reduce_into(const slot *s, int size, void *to, size_t first, size_t count) {
    int dtype = dt_of(s->dtype);
    if (dtype < 0) fake_broken("%s of bytes", s->name);
    double *results = calloc(count ? count : 1, sizeof *results);
    for (size_t i = 0; i < count; i++) {
        double result = get_value(s->parts[0].send, (int64_t)(first + i), dtype);
        for (int rank = 1; rank < size; rank++) {
            double value = get_value(s->parts[rank].send, (int64_t)(first + i), dtype);
            switch (s->op) {
            case 0:
            case 4: result += value; break;
            case 1: result *= value; break;
            case 2: result = value > result ? value : result; break;
            case 3: result = value < result ? value : result; break;
            default: fake_broken("operator %d", s->op);
            }
        }
        results[i] = s->op == 4 ? result / size : result;
    }
    for (size_t i = 0; i < count; i++) put_value(to, (int64_t)i, dtype, results[i]);
    free(results);
}

static char *copy_of(const void *from, size_t bytes) {
    char *to = malloc(bytes ? bytes : 1);
    memcpy(to, from, bytes);
    return to;
}

/* In place: results are put down when all have been computed. */
static void do_collective(const slot *s, int size) {
    size_t bytes = s->count * size_of(s->dtype);
    char *results[RANKS_MAX] = {NULL};
    for (int rank = 0; rank < size; rank++) {
        if (!strcmp(s->name, "ncclAllReduce") || !strcmp(s->name, "ncclReduceScatter")) {
            bool scatter = s->name[4] == 'R';
            results[rank] = malloc(bytes ? bytes : 1);
            reduce_into(s, size, results[rank], scatter ? (size_t)rank * s->count : 0, s->count);
        } else if (!strcmp(s->name, "ncclReduce") && rank == s->root) {
            results[rank] = malloc(bytes ? bytes : 1);
            reduce_into(s, size, results[rank], 0, s->count);
        } else if (!strcmp(s->name, "ncclBroadcast")) {
            results[rank] = copy_of(s->parts[s->root].send, bytes);
        } else if (!strcmp(s->name, "ncclAllGather")) {
            results[rank] = malloc((size_t)size * bytes + 1);
            for (int other = 0; other < size; other++) memcpy(results[rank] + (size_t)other * bytes, s->parts[other].send, bytes);
        }
    }
    for (int rank = 0; rank < size; rank++) {
        if (results[rank]) memcpy(s->parts[rank].recv, results[rank], !strcmp(s->name, "ncclAllGather") ? (size_t)size * bytes : bytes);
        free(results[rank]);
    }
}

static world *make_world(const id *name, int size) {
    world *it = calloc(1, sizeof *it);
    it->slots = calloc(SLOTS, sizeof *it->slots);
    if (name) it->name = *name;
    it->size = size;
    it->next = s_worlds;
    s_worlds = it;
    return it;
}

static void join(comm *it, world *in, int rank) {
    if (in->members[rank]) fake_broken("two communicators of rank %d", rank);
    it->in = in;
    it->rank = rank;
    in->members[rank] = it;
    in->joined++;
}

static void do_split(slot *s, world *in) {
    for (int rank = 0; rank < in->size; rank++) {
        if (!s->made[rank] || s->made[rank]->in) continue;
        int size = 0, ranks[RANKS_MAX];
        for (int other = 0; other < in->size; other++)
            if (s->colors[other] == s->colors[rank]) ranks[size++] = other;
        for (int i = 1; i < size; i++) /* by key, then rank */
            for (int j = i; j > 0 && s->keys[ranks[j - 1]] > s->keys[ranks[j]]; j--) {
                int swapped = ranks[j];
                ranks[j] = ranks[j - 1];
                ranks[j - 1] = swapped;
            }
        world *child = make_world(NULL, size);
        for (int i = 0; i < size; i++) join(s->made[ranks[i]], child, i);
    }
}

static slot *arrive(comm *on, const char *name, size_t count, int dtype, int op, int root) {
    slot *s = &on->in->slots[on->next++ % SLOTS];
    if (s->arrived == 0) {
        s->name = name;
        s->count = count;
        s->dtype = dtype;
        s->op = op;
        s->root = root;
    }
    bool same = !strcmp(s->name, name) && s->count == count && s->dtype == dtype && s->op == op && s->root == root;
    if (same && !s_hang) s->arrived++; /* otherwise it hangs, as NCCL does */
    return s;
}

static void collective(const queued *q) {
    comm *on = q->on;
    slot *s = arrive(on, q->name, q->count, q->dtype, q->op, q->root);
    s->parts[on->rank] = (part){on, q->send, q->recv, q->stream};
    fake_stream_add(q->stream, 1);
    if (s->arrived < on->in->size) return;
    do_collective(s, on->in->size);
    for (int rank = 0; rank < on->in->size; rank++)
        if (s->parts[rank].of) fake_stream_add(s->parts[rank].stream, -1);
    *s = (slot){.name = NULL};
}

static void point_to_point(const queued *q, bool sends) {
    world *in = q->on->in;
    transfer mine = {sends ? q->on : NULL, sends ? NULL : q->on, q->root, sends ? (void *)(uintptr_t)q->send : q->recv, q->count, q->dtype, q->stream};
    fake_stream_add(q->stream, 1);
    for (int i = 0; i < in->waiting_count && !s_hang; i++) {
        transfer *w = &in->waiting[i];
        comm *theirs = sends ? w->to : w->from;
        if (!theirs || theirs->rank != q->root || w->other != q->on->rank) continue;
        if (w->count != q->count || w->dtype != q->dtype) break;
        memmove(sends ? w->buffer : mine.buffer, sends ? mine.buffer : w->buffer, q->count * size_of(q->dtype));
        fake_stream_add(w->stream, -1);
        fake_stream_add(q->stream, -1);
        memmove(w, w + 1, (size_t)(in->waiting_count - i - 1) * sizeof *w);
        in->waiting_count--;
        return;
    }
    if (in->waiting_count == TRANSFERS_MAX) fake_broken("too many sends and receives");
    in->waiting[in->waiting_count++] = mine;
}

static void begin(const queued *q) {
    bool sends = !strcmp(q->name, "ncclSend");
    if (sends || !strcmp(q->name, "ncclRecv"))
        point_to_point(q, sends);
    else
        collective(q);
}

static int add(queued q) {
    fake_lock();
    comm *on = q.on;
    if (!on->in || on->in->joined < on->in->size) fake_broken("%s before the communicator is ready", q.name);
    if (!fake_has_context()) fake_broken("%s without a current context", q.name);
    fake_log("rank %d of %d: %s(count %zu, dtype %d, op %d, root %d, %s, stream %d)", on->rank, on->in->size, q.name, q.count, q.dtype, q.op, q.root,
             q.send == q.recv ? "in place" : "two buffers", fake_stream_number(q.stream));
    int result = SUCCESS;
    q.stream = fake_stream_of(q.stream);
    if (on->in_progress) fake_broken("%s while the communicator is in progress", q.name);
    if (s_depth) {
        if (s_group_count == TRANSFERS_MAX) fake_broken("a group too large");
        s_group[s_group_count++] = q;
    } else {
        begin(&q);
        on->in_progress = s_in_progress;
        if (s_in_progress) result = IN_PROGRESS;
    }
    fake_unlock();
    return result;
}

FAKE_API int ncclGetUniqueId(id *to) {
    fake_lock();
    unsigned seed = 12345u + (unsigned)s_id_count * 7919u;
    for (size_t i = 0; i < sizeof *to; i++) to->bytes[i] = (char)((seed = seed * 1103515245u + 12345u) >> 16);
    s_ids[s_id_count++ % IDS] = *to;
    fake_log("ncclGetUniqueId()");
    fake_unlock();
    return SUCCESS;
}

FAKE_API int ncclCommInitRankConfig(comm **to, int size, id name, int rank, config *with) {
    if (!with || with->size < 20 || with->magic != 0xcafebeef || with->version < 21400 || with->version > FAKE_VERSION || with->blocking != 0) return INVALID_ARGUMENT;
    if (with->size >= 24 && with->unset != INT_MIN) return INVALID_ARGUMENT; /* 2.17's cgaClusterSize */
    if (!fake_has_context()) fake_broken("ncclCommInitRankConfig without a current context");
    fake_lock();
    bool known = false;
    for (int i = 0; i < IDS && i < s_id_count; i++) known |= !memcmp(&s_ids[i], &name, sizeof name);
    if (!known) {
        fake_unlock();
        return INVALID_ARGUMENT;
    }
    fake_log("ncclCommInitRankConfig(size %d, rank %d, blocking %d)", size, rank, with->blocking);
    world *in = s_worlds;
    while (in && (memcmp(&in->name, &name, sizeof name) || in->joined == in->size)) in = in->next;
    if (!in) in = make_world(&name, size);
    comm *it = calloc(1, sizeof *it);
    fake_add_left(1);
    it->in_progress = s_in_progress;
    join(it, in, rank);
    *to = it;
    fake_unlock();
    return IN_PROGRESS;
}

static int progress(comm *it) {
    if (s_error) return s_error;
    if (!it->in || it->in->joined < it->in->size || it->pending_split) return IN_PROGRESS;
    if (it->in_progress > 0) {
        it->in_progress--;
        return IN_PROGRESS;
    }
    return SUCCESS;
}

FAKE_API int ncclCommGetAsyncError(comm *it, int *error) {
    fake_lock();
    *error = progress(it);
    fake_unlock();
    return SUCCESS;
}

static void leave(comm *it) {
    world *in = it->in;
    fake_add_left(-1);
    if (in) {
        for (int i = 0; i < SLOTS; i++) /* its kernels end */
            if (in->slots[i].parts[it->rank].of == it) {
                fake_stream_add(in->slots[i].parts[it->rank].stream, -1);
                in->slots[i].parts[it->rank].of = NULL;
                in->slots[i].arrived = INT_MIN / 2; /* never done */
            }
        for (int i = in->waiting_count - 1; i >= 0; i--) {
            if (in->waiting[i].from != it && in->waiting[i].to != it) continue;
            fake_stream_add(in->waiting[i].stream, -1);
            memmove(&in->waiting[i], &in->waiting[i + 1], (size_t)(in->waiting_count - i - 1) * sizeof *in->waiting);
            in->waiting_count--;
        }
        if (++in->left == in->joined) {
            world **at = &s_worlds;
            while (*at != in) at = &(*at)->next;
            *at = in->next;
            free(in->slots);
            free(in);
        }
    }
    free(it);
}

FAKE_API int ncclCommFinalize(comm *it) {
    fake_lock();
    fake_log("rank %d: ncclCommFinalize()", it->rank);
    it->in_progress = s_in_progress;
    int result = s_in_progress ? IN_PROGRESS : SUCCESS;
    fake_unlock();
    return result;
}
FAKE_API int ncclCommDestroy(comm *it) {
    fake_lock();
    fake_log("rank %d: ncclCommDestroy()", it->rank);
    leave(it);
    fake_unlock();
    return SUCCESS;
}
FAKE_API int ncclCommAbort(comm *it) {
    fake_lock();
    fake_log("rank %d: ncclCommAbort()", it->rank);
    leave(it);
    fake_unlock();
    return SUCCESS;
}

FAKE_API int ncclCommSplit(comm *on, int color, int key, comm **to, config *with) {
    if (with) fake_broken("ncclCommSplit with a configuration");
    if (!fake_has_context()) fake_broken("ncclCommSplit without a current context");
    fake_lock();
    fake_log("rank %d: ncclCommSplit(color %d, key %d)", on->rank, color, key);
    slot *s = arrive(on, "ncclCommSplit", 0, 0, 0, 0);
    comm *made = color < 0 ? NULL : calloc(1, sizeof *made);
    fake_add_left(made != NULL);
    s->parts[on->rank].of = NULL;
    s->parts[on->rank].send = on;
    s->colors[on->rank] = color;
    s->keys[on->rank] = key;
    s->made[on->rank] = made;
    on->pending_split = 1;
    *to = made;
    if (s->arrived == on->in->size) {
        do_split(s, on->in);
        for (int rank = 0; rank < on->in->size; rank++) on->in->members[rank]->pending_split = 0;
        *s = (slot){.name = NULL};
    }
    fake_unlock();
    return IN_PROGRESS;
}

FAKE_API const char *ncclGetErrorString(int result) {
    static const char *const texts[] = {"no error", "unhandled cuda error", "unhandled system error", "internal error", "invalid argument", "invalid usage", "remote process exited or there was a network error", "NCCL operation in progress"};
    return result >= 0 && result <= IN_PROGRESS ? texts[result] : "unknown result code";
}
FAKE_API const char *ncclGetLastError(comm *it) {
    (void)it;
    return "the last words of the stand-in";
}

FAKE_API int ncclAllReduce(const void *send, void *recv, size_t count, int dtype, int op, comm *on, void *stream) {
    return add((queued){"ncclAllReduce", on, send, recv, count, dtype, op, 0, stream});
}
FAKE_API int ncclReduceScatter(const void *send, void *recv, size_t count, int dtype, int op, comm *on, void *stream) {
    return add((queued){"ncclReduceScatter", on, send, recv, count, dtype, op, 0, stream});
}
FAKE_API int ncclAllGather(const void *send, void *recv, size_t count, int dtype, comm *on, void *stream) {
    return add((queued){"ncclAllGather", on, send, recv, count, dtype, 0, 0, stream});
}
FAKE_API int ncclBroadcast(const void *send, void *recv, size_t count, int dtype, int root, comm *on, void *stream) {
    return add((queued){"ncclBroadcast", on, send, recv, count, dtype, 0, root, stream});
}
FAKE_API int ncclReduce(const void *send, void *recv, size_t count, int dtype, int op, int root, comm *on, void *stream) {
    return add((queued){"ncclReduce", on, send, recv, count, dtype, op, root, stream});
}
FAKE_API int ncclSend(const void *send, size_t count, int dtype, int peer, comm *on, void *stream) {
    return add((queued){"ncclSend", on, send, NULL, count, dtype, 0, peer, stream});
}
FAKE_API int ncclRecv(void *recv, size_t count, int dtype, int peer, comm *on, void *stream) {
    return add((queued){"ncclRecv", on, NULL, recv, count, dtype, 0, peer, stream});
}
FAKE_API int ncclGroupStart(void) {
    fake_lock();
    fake_log("ncclGroupStart()");
    fake_unlock();
    s_depth++;
    return SUCCESS;
}
FAKE_API int ncclGroupEnd(void) {
    if (!s_depth) return INVALID_USAGE;
    if (--s_depth) return SUCCESS;
    fake_lock();
    fake_log("ncclGroupEnd()");
    int result = SUCCESS;
    for (int i = 0; i < s_group_count; i++) {
        begin(&s_group[i]);
        s_group[i].on->in_progress = s_in_progress;
        if (s_in_progress) result = IN_PROGRESS;
    }
    s_group_count = 0;
    fake_unlock();
    return result;
}

FAKE_API int ncclMemAlloc(void **to, size_t bytes) {
    *to = malloc(bytes);
    memset(*to, 0xCD, bytes);
    fake_lock();
    fake_add_left(1);
    fake_log("ncclMemAlloc(%zu)", bytes);
    fake_unlock();
    return SUCCESS;
}
FAKE_API int ncclMemFree(void *it) {
    free(it);
    fake_lock();
    fake_add_left(-1);
    fake_unlock();
    return SUCCESS;
}
#endif
