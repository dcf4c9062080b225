/* A communicator's life, and the transport put together. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "mpi_transport.h"

enum { CROWDED_RANKS = 16 }; /* with more, nothing asks whether any host is crowded */

/* Which machine this is: its name and when it was started. */
static uint64_t host_of_this(void) {
    char text[400] = "";
    gethostname(text, 255);
    size_t used = strlen(text), more;
    FILE *boot = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (boot) {
        more = fread(text + used, 1, 64, boot);
        text[used + more] = 0;
        fclose(boot);
    }
    uint64_t hash = 14695981039346656037ull;
    for (const char *at = text; *at; at++) hash = (hash ^ (unsigned char)*at) * 1099511628211ull;
    return hash;
}

static mpi_introduction introduce(const mpi *self) {
    mpi_introduction mine = {.host = host_of_this(), .segment_bytes = self->segment_bytes, .pid = getpid(), .version = DT_ABI_VERSION, .quota = core_quota(),
                             .flags = self->comm.flags};
    cpu_set_t cores;
    if (getrandom(&mine.group, sizeof mine.group, 0) != (ssize_t)sizeof mine.group) mine.group = (uint64_t)nanoseconds_now();
    if (sched_getaffinity(0, sizeof cores, &cores) == 0)
        for (int cpu = 0; cpu < MPI_CPU_WORDS * 64 && cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &cores)) mine.cpus[cpu / 64] |= 1ull << (cpu % 64);
    return mine;
}

/* The cores that the ranks of a rank's host have together; and whether they are too few. */
static bool count_cores(const mpi *self, const mpi_introduction *all, int32_t of, int32_t *cores) {
    uint64_t cpus[MPI_CPU_WORDS] = {0};
    int32_t ranks = 0;
    *cores = 0;
    for (int32_t rank = 0; rank < self->comm.world_size; rank++) {
        if (all[rank].host != all[of].host) continue;
        ranks++;
        for (int word = 0; word < MPI_CPU_WORDS; word++) cpus[word] |= all[rank].cpus[word];
    }
    for (int word = 0; word < MPI_CPU_WORDS; word++) *cores += __builtin_popcountll(cpus[word]);
    if (all[of].quota > 0 && *cores > all[of].quota) *cores = all[of].quota;
    if (*cores < 1) *cores = 1;
    return ranks > *cores && !(self->comm.flags & DT_ALWAYS_SPIN);
}

static dt_status meet(mpi *self) {
    int32_t world = self->comm.world_size, rank = self->comm.rank;
    mpi_introduction *all = calloc((size_t)world, sizeof *all);
    if (!all) return mpi_fail(self, DT_OUT_OF_MEMORY, (mpi_culprit){rank, 0}, "rank %d: no memory for %d ranks", rank, world);
    all[rank] = introduce(self);
    dt_status status = mpi_gather_all(self, &all[rank], all, sizeof *all);
    for (int32_t other = 0; other < world && status == DT_OK; other++) {
        self->pids[other] = all[other].pid;
        if (all[other].version != DT_ABI_VERSION || all[other].flags != all[0].flags)
            status = mpi_fail(self, DT_MISMATCH, (mpi_culprit){other, 0}, "rank 0 has version %d and flags %#x, rank %d has version %d and flags %#x", all[0].version,
                              all[0].flags, other, all[other].version, all[other].flags);
    }
    if (status == DT_OK) {
        self->group = all[0].group;
        self->segment_bytes = all[0].segment_bytes;
        int32_t theirs;
        self->oversubscribed = count_cores(self, all, rank, &self->cores);
        for (int32_t other = 0; other < world && world <= CROWDED_RANKS; other++) self->crowded |= count_cores(self, all, other, &theirs);
        free(all);
    }
    return status;
}

void mpi_destroy(dt_comm *comm) {
    mpi *self = mpi_of(comm);
    bool healthy = atomic_load(&self->failed) == 0;
    mpi_count(-1);
    if (healthy && self->work && comm->world_size > 1) mpi_say_farewell(self);
    mpi_forget_news(self);
    if (healthy && self->news) self->adapter->release(&self->news);
    if (healthy && self->pairs) self->adapter->release(&self->pairs);
    if (healthy && self->work) self->adapter->release(&self->work);
    if (healthy) { /* after a failure MPI may still write it */
        free(self->scratch);
        for (int64_t at = 0; at < self->memory_count; at++) free(self->memory[at]);
    }
    free(self->memory);
    free(self->requests);
    free(self->said);
    free(self->left);
    free(self->pids);
    pthread_mutex_destroy(&self->news_lock);
    comm_dispose(comm);
    free(self);
}

static dt_status prepare(mpi *self, mpi_handle base) {
    int32_t world = self->comm.world_size;
    int code = 0;
    self->work = base;
    self->requests = calloc(8 * (size_t)world, sizeof *self->requests);
    self->said = calloc((size_t)world, sizeof *self->said);
    self->left = calloc((size_t)world, sizeof *self->left);
    self->pids = calloc((size_t)world, sizeof *self->pids);
    if (!self->requests || !self->said || !self->left || !self->pids) return DT_OUT_OF_MEMORY;
    /* Blocking calls, but all ranks are right here. */
    if ((code = self->adapter->duplicate(base, &self->pairs)) != 0) return mpi_error(self, code, "MPI_Comm_dup");
    if ((code = self->adapter->duplicate(base, &self->news)) != 0) return mpi_error(self, code, "MPI_Comm_dup");
    return meet(self);
}

dt_status mpi_make(const dt_options *options, const mpi_adapter *adapter, mpi_handle base, dt_comm **comm, char *text, size_t text_bytes) {
    mpi *self = calloc(1, sizeof *self);
    dt_status status = self ? comm_initialise(&self->comm, &mpi_transport, options) : DT_OUT_OF_MEMORY;
    if (status != DT_OK) {
        free(self);
        snprintf(text, text_bytes, "mpi: no memory");
        return status;
    }
    self->adapter = adapter;
    self->segment_bytes = options->segment_bytes ? options->segment_bytes : MPI_SEGMENT_BYTES;
    pthread_mutex_init(&self->news_lock, NULL);
    mpi_count(1);
    status = prepare(self, base);
    if (status != DT_OK) {
        snprintf(text, text_bytes, "mpi: %s", *self->failure.text ? self->failure.text : dt_status_text(status));
        mpi_destroy(&self->comm);
        return status;
    }
    *comm = &self->comm;
    return DT_OK;
}

/* Duplicating a communicator blocks until all ranks do it: so they meet first, in a wait that ends. */
static dt_status await_everybody(const mpi_adapter *adapter, const dt_options *options, int size, char *text, size_t text_bytes) {
    mpi_handle request = 0;
    bool done = false;
    int64_t start = nanoseconds_now(), waited_ms = 0;
    int code = adapter->barrier(adapter->world(), &request);
    while (code == 0 && !done && waited_ms < options->timeout_ms) {
        code = adapter->test(&request, &done, NULL);
        waited_ms = (nanoseconds_now() - start) / 1000000;
        if (!done) waited_ms > 20 ? usleep(200) : sched_yield();
    }
    if (code == 0 && done) return DT_OK;
    mpi_spoil();
    if (code != 0) {
        adapter->error_text(code, text, text_bytes);
        return DT_SYSTEM_ERROR;
    }
    snprintf(text, text_bytes, "mpi: not all %d ranks have called dt_comm_init within %lld ms", size, (long long)options->timeout_ms);
    return DT_TIMEOUT;
}

dt_status mpi_join(const dt_options *options, dt_comm **comm, char *text, size_t text_bytes) {
    const mpi_adapter *adapter;
    int rank = 0, size = 0;
    dt_status status = mpi_load(&adapter, text, text_bytes);
    if (status != DT_OK) return status;
    int code = adapter->rank_of(adapter->world(), &rank, &size);
    if (code != 0) {
        adapter->error_text(code, text, text_bytes);
        return DT_SYSTEM_ERROR;
    }
    if ((options->rank != -1 && options->rank != rank) || (options->world_size != 0 && options->world_size != size)) {
        snprintf(text, text_bytes, "mpi: rank %d of %d was asked for, but MPI's launcher made this process rank %d of %d; leave rank -1 and world_size 0 to take MPI's",
                 options->rank, options->world_size, rank, size);
        return DT_INVALID_ARGUMENT;
    }
    if (size > MPI_RANKS_MAX) {
        snprintf(text, text_bytes, "mpi: %d ranks; up to %d are possible", size, MPI_RANKS_MAX);
        return DT_UNSUPPORTED;
    }
    if ((status = await_everybody(adapter, options, size, text, text_bytes)) != DT_OK) return status;
    dt_options known = *options;
    known.rank = rank;
    known.world_size = size;
    mpi_handle base = 0;
    if ((code = adapter->duplicate(adapter->world(), &base)) != 0) {
        adapter->error_text(code, text, text_bytes);
        return DT_SYSTEM_ERROR;
    }
    return mpi_make(&known, adapter, base, comm, text, text_bytes);
}

static void abort_all(dt_comm *comm, const char *why) {
    mpi *self = mpi_of(comm);
    mpi_fail(self, DT_ABORTED, (mpi_culprit){comm->rank, DT_REASON_NONE}, "rank %d (pid %d) aborted: %.350s", comm->rank, (int)getpid(), why ? why : "no reason given");
}

static dt_status state(dt_comm *comm) {
    mpi_poll_news(mpi_of(comm));
    return mpi_state(mpi_of(comm));
}

static void failure(dt_comm *comm, dt_failure *to, char *text, size_t text_bytes) {
    mpi *self = mpi_of(comm);
    *to = (dt_failure){.struct_bytes = sizeof *to, .status = mpi_state(self), .rank = -1};
    if (to->status == DT_OK) return;
    const mpi_news *from = &self->failure;
    to->rank = from->culprit;
    to->pid = from->culprit_pid;
    to->reason = from->reason;
    to->sequence = from->sequence;
    to->verb = from->verb;
    snprintf(text, text_bytes, "%s", from->text);
}

static void describe(dt_comm *comm, dt_description *to) {
    mpi *self = mpi_of(comm);
    to->cores = self->cores;
    to->oversubscribed = self->oversubscribed;
    to->group = self->group;
}

static bool add_memory(mpi *self, void *made) {
    void **grown = realloc(self->memory, (size_t)(self->memory_count + 1) * sizeof *grown);
    if (!grown) return false;
    self->memory = grown;
    self->memory[self->memory_count++] = made;
    return true;
}

/* Memory of this process alone: MPI sends from any. Collective like everywhere, so that all ranks know if one has none. */
static dt_status allocate(dt_comm *comm, int64_t bytes, uint32_t flags, void **memory) {
    mpi *self = mpi_of(comm);
    dt_call call = {.verb = DT_VERB_ALLOC, .dtype = DTYPE_BYTE, .count = bytes};
    (void)flags;
    char *made = aligned_alloc(4096, (size_t)((bytes + 4095) / 4096 * 4096));
    if (!made || !add_memory(self, made)) return mpi_fail(self, DT_OUT_OF_MEMORY, (mpi_culprit){comm->rank, 0}, "rank %d has no memory for %lld bytes", comm->rank, (long long)bytes);
    memset(made, 0, (size_t)bytes);
    dt_status status = mpi_collective(comm, &call);
    if (status == DT_OK) *memory = made;
    return status;
}

static dt_status release(dt_comm *comm, void *memory) {
    mpi *self = mpi_of(comm);
    int64_t at = 0;
    while (at < self->memory_count && self->memory[at] != memory) at++;
    if (at == self->memory_count) return comm_error(comm, DT_INVALID_ARGUMENT, "dt_free: %p is not from this communicator's dt_alloc", memory);
    dt_call call = {.verb = DT_VERB_FREE, .dtype = DTYPE_BYTE, .count = at};
    dt_status status = mpi_collective(comm, &call);
    if (status != DT_OK) return mpi_state(self) == status ? DT_OK : status; /* dead: local, and MPI may still write it */
    self->memory[at] = self->memory[--self->memory_count];
    free(memory);
    return DT_OK;
}

const dt_transport mpi_transport = {
    .collective = mpi_collective,
    .exchange = mpi_exchange,
    .split = mpi_split,
    .allocate = allocate,
    .release = release,
    .destroy = mpi_destroy,
    .abort = abort_all,
    .state = state,
    .failure = failure,
    .describe = describe,
    .records = mpi_records,
};
