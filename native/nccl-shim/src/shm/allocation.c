/* Registered memory: all ranks' parts in one sealed file that every rank has mapped. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm.h"
#include "socket.h"

enum { OFFSET_BITS = 48, NUMBERS_MAX = 65535, PAGE = 4096, HUGE_PAGE = 2 << 20, WAIT_MS = 50 };

typedef struct parcel {
    dt_status status;
    uint64_t sequence; /* of the call that it belongs to */
} parcel;

static char *own_part(const shm *self, const shm_allocation *of) {
    return (char *)of->mapping->base + of->stride * self->comm.rank;
}

/* The last allocation that begins at or below the address; -1: none. */
static int64_t find(const shm *self, const char *from) {
    int64_t low = 0, high = self->allocation_count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (own_part(self, self->allocations[middle]) <= from)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

uint64_t shm_address_of(shm *self, const void *from, int64_t bytes) {
    if (self->same_process) return (uint64_t)(uintptr_t)from;
    int64_t index = find(self, from);
    if (index < 0) return 0;
    const shm_allocation *in = self->allocations[index];
    int64_t offset = (const char *)from - own_part(self, in);
    return offset + bytes <= in->bytes ? in->number << OFFSET_BITS | (uint64_t)offset : 0;
}

char *shm_at(shm *self, int32_t rank, uint64_t address) {
    if (self->same_process) return (char *)(uintptr_t)address;
    const shm_allocation *in = self->by_number[(address >> OFFSET_BITS) - 1];
    return (char *)in->mapping->base + in->stride * rank + (address & ((1ull << OFFSET_BITS) - 1));
}

char *shm_checked(shm *self, int32_t rank, uint64_t address, uint64_t bytes) {
    if (self->same_process) return (char *)(uintptr_t)address;
    uint64_t number = address >> OFFSET_BITS, offset = address & ((1ull << OFFSET_BITS) - 1);
    const shm_allocation *in = number >= 1 && number <= (uint64_t)self->allocation_capacity ? self->by_number[number - 1] : NULL;
    if (!in || offset > (uint64_t)in->bytes || bytes > (uint64_t)in->bytes - offset) return NULL;
    return (char *)in->mapping->base + in->stride * rank + offset;
}

static bool room(shm *self) {
    int64_t capacity = self->allocation_capacity;
    if (self->allocation_count < capacity) return true;
    int64_t wanted = capacity ? 2 * capacity : 16;
    if (wanted > NUMBERS_MAX) wanted = NUMBERS_MAX;
    if (wanted == capacity) return false;
    shm_allocation **ordered = realloc(self->allocations, (size_t)wanted * sizeof *ordered);
    if (ordered) self->allocations = ordered;
    shm_allocation **numbered = realloc(self->by_number, (size_t)wanted * sizeof *numbered);
    if (numbered) self->by_number = numbered;
    if (!ordered || !numbered) return false;
    memset(numbered + capacity, 0, (size_t)(wanted - capacity) * sizeof *numbered);
    self->allocation_capacity = wanted;
    return true;
}

/* The lowest free number: the same on all ranks, because they allocate and free in one order. */
static uint64_t free_number(const shm *self) {
    uint64_t number = 1;
    while (self->by_number[number - 1]) number++;
    return number;
}

static void insert(shm *self, shm_allocation *made) {
    int64_t index = find(self, own_part(self, made)) + 1;
    memmove(self->allocations + index + 1, self->allocations + index, (size_t)(self->allocation_count - index) * sizeof *self->allocations);
    self->allocations[index] = made;
    self->allocation_count++;
    self->by_number[made->number - 1] = made;
}

static void discard(shm *self, int64_t index) {
    shm_allocation *gone = self->allocations[index];
    self->allocation_count--;
    memmove(self->allocations + index, self->allocations + index + 1, (size_t)(self->allocation_count - index) * sizeof *self->allocations);
    self->by_number[gone->number - 1] = NULL;
    shm_unmap(gone->mapping);
    free(gone);
}

void shm_release_all(shm *self) {
    while (self->allocation_count) discard(self, self->allocation_count - 1);
    free(self->allocations);
    free(self->by_number);
}

/* What this host can give, by the kernel's estimate; without one no limit. */
static int64_t available_bytes(void) {
    char line[128];
    long long kilobytes = INT64_MAX / 1024;
    FILE *information = fopen("/proc/meminfo", "re");
    while (information && fgets(line, sizeof line, information))
        if (sscanf(line, "MemAvailable: %lld kB", &kilobytes) == 1) break;
    if (information) fclose(information);
    return (int64_t)kilobytes * 1024;
}

static dt_status send_all(shm *self, dt_status status, int file, char *text, size_t text_bytes) {
    parcel parcel = {.status = status, .sequence = self->comm.sequence};
    for (int32_t rank = 1; rank < self->comm.world_size && !self->same_process; rank++) {
        if (socket_send(self->links[rank], &parcel, sizeof parcel, file) || status != DT_OK) continue;
        snprintf(text, text_bytes, "cannot send the memory to rank %d: %s", rank, strerror(errno));
        status = DT_SYSTEM_ERROR; /* the others learn it from what rank 0 says next */
    }
    return status;
}

/* Rank 0: makes the file, keeps a mapping, sends it to the others (threads of one process take the mapping itself). */
static dt_status make(shm *self, shm_allocation *made, uint32_t flags, char *text, size_t text_bytes) {
    int64_t bytes = made->stride * self->comm.world_size;
    bool fits = bytes < available_bytes(); /* or pages would be made until the kernel kills somebody */
    if (!fits) snprintf(text, text_bytes, "%lld bytes for all ranks are more than this host has available", (long long)bytes);
    int file = fits ? shm_memory_file(bytes, text, text_bytes) : -1;
    dt_status status = file < 0 ? DT_OUT_OF_MEMORY : shm_map(file, bytes, flags, &made->mapping, text, text_bytes);
    if (file >= 0 && status == DT_OK) status = send_all(self, DT_OK, file, text, text_bytes);
    if (file >= 0) close(file);
    return status;
}

/* The parcel of this call. One of an earlier call, which this rank no longer waited for, is thrown away. */
static int receive(shm *self, parcel *parcel, int *file, int wait_ms) {
    int got;
    while ((got = socket_receive(self->links[0], parcel, sizeof *parcel, file, wait_ms)) == 1 && parcel->sequence != self->comm.sequence)
        if (*file >= 0) close(*file);
    return got;
}

/* Rank 0 has come to the next barrier. */
static bool has_gone_on(const shm *self) { return atomic_load(&self->ranks[0].arrival[(self->phase + 1) & 1].phase) > self->phase; }

static dt_status take(shm *self, shm_allocation *made, uint32_t flags, char *text, size_t text_bytes) {
    parcel parcel = {0};
    int file = -1, got = 0;
    int64_t start = nanoseconds_now(), limit_ms = atomic_load(&self->comm.timeout_ms);
    for (bool last = false; got == 0 && !last && shm_state(self) == DT_OK && (nanoseconds_now() - start) / 1000000 < limit_ms;) {
        last = has_gone_on(self); /* then nothing will come any more */
        got = receive(self, &parcel, &file, WAIT_MS);
    }
    dt_status status = got == 1 ? parcel.status : DT_SYSTEM_ERROR;
    if (status != DT_OK)
        snprintf(text, text_bytes, got == 1 ? "rank 0 could not make the memory" : "the memory did not come from rank 0");
    else if (file < 0)
        status = DT_SYSTEM_ERROR, snprintf(text, text_bytes, "the memory from rank 0 did not reach this process, which has too many open files");
    else
        status = shm_map(file, made->stride * self->comm.world_size, flags, &made->mapping, text, text_bytes);
    if (file >= 0) close(file);
    return status;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* This rank's pages, made in its name: running out shows here, not as a signal later. */
static dt_status own_pages(shm *self, const shm_allocation *made, char *text, size_t text_bytes) {
    if (madvise(own_part(self, made), (size_t)made->stride, MADV_POPULATE_WRITE) == 0 || errno == EINVAL) return DT_OK;
    snprintf(text, text_bytes, "no memory for %lld bytes: %s", (long long)made->stride, strerror(errno));
    return DT_OUT_OF_MEMORY;
}

/* All must have it, or nobody keeps it. */
static dt_status agree(shm *self, const dt_call *call, dt_status status, shm_allocation *made, const char *text) {
    uint64_t mapping = self->same_process && made->mapping ? shm_share(made->mapping) : 0;
    dt_status failed = shm_begin(self, call, mapping, 0, (uint64_t)status);
    if (failed != DT_OK) return failed;
    for (int32_t rank = 0; rank < self->comm.world_size; rank++)
        if (shm_said(self, rank)->extra != DT_OK)
            return comm_error(&self->comm, (dt_status)shm_said(self, rank)->extra, "dt_alloc of %lld bytes failed on rank %d: %.300s",
                              (long long)call->count, rank, rank == self->comm.rank ? text : dt_status_text((dt_status)shm_said(self, rank)->extra));
    return DT_OK;
}

/* Threads of one process: all take rank 0's mapping, and nobody may give it up (with its communicator, say) before all have it. */
static dt_status take_shared(shm *self, shm_allocation *made) {
    if (self->comm.rank != 0 && !(made->mapping = shm_take(shm_said(self, 0)->send))) {
        dt_status status = shm_state(self); /* which rank 0 saw at the barrier that this one has passed */
        return status != DT_OK ? status : comm_error(&self->comm, DT_INTERNAL_ERROR, "rank 0 has no longer got the memory of dt_alloc");
    }
    return shm_barrier(self);
}

/* ready: whether this rank could note the memory if it came. */
static dt_status obtain(shm *self, const dt_call *call, shm_allocation *made, uint32_t flags, bool ready) {
    char text[300] = "no memory to note another allocation";
    dt_status status = shm_begin(self, call, 0, 0, 0);
    if (status != DT_OK) return status;
    if (!ready) status = DT_OUT_OF_MEMORY;
    if (status == DT_OK && self->comm.rank == 0) status = make(self, made, flags, text, sizeof text);
    if (status != DT_OK && self->comm.rank == 0) send_all(self, status, -1, NULL, 0);
    if (status == DT_OK && self->comm.rank != 0 && !self->same_process) status = take(self, made, flags, text, sizeof text);
    if (status == DT_OK && made->mapping) status = own_pages(self, made, text, sizeof text);
    dt_status agreed = shm_state(self); /* what did not come because the communicator failed is that failure */
    if (agreed == DT_OK) agreed = agree(self, call, status, made, text);
    if (agreed == DT_OK && self->same_process) agreed = take_shared(self, made);
    if (agreed != DT_OK) shm_unmap(made->mapping);
    return agreed;
}

dt_status shm_allocate(dt_comm *comm, int64_t bytes, uint32_t flags, void **memory) {
    shm *self = shm_of(comm);
    dt_status status = shm_state(self);
    if (status != DT_OK) return status;
    int64_t page = flags & DT_HUGE_PAGES ? HUGE_PAGE : PAGE;
    dt_call call = {.verb = DT_VERB_ALLOC, .dtype = DTYPE_BYTE, .op = (int32_t)flags, .count = bytes};
    if (self->allocation_count == NUMBERS_MAX) /* as on all ranks */
        return comm_error(comm, DT_OUT_OF_MEMORY, "no room for another of %lld allocations", (long long)self->allocation_count);
    shm_allocation *made = calloc(1, sizeof *made), one = {.bytes = bytes, .stride = (bytes + page - 1) / page * page};
    bool ready = made && room(self);
    comm_count_call(comm);
    uint64_t record = shm_record_enter(self, &call);
    status = obtain(self, &call, &one, flags, ready);
    shm_record_leave(self, record, status, false);
    if (status != DT_OK) {
        free(made);
        return status;
    }
    *made = one;
    made->number = free_number(self);
    insert(self, made);
    if (!self->same_process) shm_populate(made->mapping->base, made->mapping->bytes); /* page tables for the peers' parts */
    *memory = own_part(self, made);
    return DT_OK;
}

dt_status shm_release(dt_comm *comm, void *memory) {
    shm *self = shm_of(comm);
    int64_t index = find(self, memory);
    if (index < 0 || own_part(self, self->allocations[index]) != memory)
        return comm_error(comm, DT_INVALID_ARGUMENT, "dt_free: %p is not memory from dt_alloc of this communicator", memory);
    dt_status status = shm_state(self);
    if (status == DT_OK) { /* peers may still be reading: all come here first */
        dt_call call = {.verb = DT_VERB_FREE, .dtype = DTYPE_BYTE, .count = (int64_t)self->allocations[index]->number};
        comm_count_call(comm);
        uint64_t record = shm_record_enter(self, &call);
        status = shm_begin(self, &call, 0, 0, 0);
        shm_record_leave(self, record, status, false);
    }
    discard(self, index);
    return status;
}
