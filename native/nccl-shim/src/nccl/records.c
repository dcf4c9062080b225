/* The flight recorder of this rank. A call is under way from being enqueued until dt_synchronize has seen its stream empty. */
#include <stdio.h>

#include "nccl.h"

uint64_t nccl_record_enter(nccl *self, const dt_call *call) {
    pthread_mutex_lock(&self->failure_lock);
    uint64_t index = self->record_count++;
    self->records[index % DT_FLIGHT_RECORDS] = (nccl_record){
        .entry = {.sequence = self->comm.sequence, .verb = call->verb, .dtype = call->dtype, .op = call->op, .root = call->root, .count = call->count,
                  .start_ns = nanoseconds_now(), .state = DT_RECORD_ENTERED},
        .stream = self->stream,
    };
    pthread_mutex_unlock(&self->failure_lock);
    return index;
}

static void end(nccl_record *record, int32_t state) {
    record->entry.state = state;
    record->entry.duration_ns = nanoseconds_now() - record->entry.start_ns;
}

void nccl_record_end(nccl *self, uint64_t index, dt_status status) {
    pthread_mutex_lock(&self->failure_lock);
    end(&self->records[index % DT_FLIGHT_RECORDS], status == DT_OK ? DT_RECORD_DONE : DT_RECORD_FAILED);
    pthread_mutex_unlock(&self->failure_lock);
}

void nccl_record_done(nccl *self, cuda_stream stream) {
    pthread_mutex_lock(&self->failure_lock);
    for (uint64_t i = 0; i < DT_FLIGHT_RECORDS && i < self->record_count; i++)
        if (self->records[i].stream == stream && self->records[i].entry.state == DT_RECORD_ENTERED) end(&self->records[i], DT_RECORD_DONE);
    pthread_mutex_unlock(&self->failure_lock);
}

int64_t nccl_records(dt_comm *comm, int32_t rank, dt_flight_record *records, int64_t capacity) {
    nccl *self = nccl_of(comm);
    if (rank != comm->rank) return 0; /* each rank knows its own alone */
    pthread_mutex_lock(&self->failure_lock);
    uint64_t end = self->record_count, first = end > DT_FLIGHT_RECORDS ? end - DT_FLIGHT_RECORDS : 0;
    if (end - first > (uint64_t)capacity) first = end - (uint64_t)capacity;
    int64_t now = nanoseconds_now(), count = 0;
    for (uint64_t index = first; index < end; index++) {
        records[count] = self->records[index % DT_FLIGHT_RECORDS].entry;
        records[count].start_ns = now - records[count].start_ns;
        count++;
    }
    pthread_mutex_unlock(&self->failure_lock);
    return count;
}

void nccl_last_call(nccl *self, char *text, size_t text_bytes) {
    char call[150];
    if (self->record_count == 0) {
        snprintf(text, text_bytes, "first call has not come");
        return;
    }
    const dt_flight_record *r = &self->records[(self->record_count - 1) % DT_FLIGHT_RECORDS].entry;
    call_text(call, sizeof call, r->sequence, r->verb, r->dtype, r->op, r->root, r->count);
    snprintf(text, text_bytes, "last call %s, %s", call, r->state == DT_RECORD_ENTERED ? "under way" : r->state == DT_RECORD_DONE ? "done" : "failed");
}
