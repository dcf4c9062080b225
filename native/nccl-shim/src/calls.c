/* Names and sizes of verbs, types, operators and statuses. */
#include <stdio.h>

#include "comm.h"

static const char *at(const char *const names[], int32_t count, int32_t index, const char *otherwise) {
    return index >= 0 && index < count && names[index] ? names[index] : otherwise;
}

#define NAME_AT(names, index, otherwise) at(names, (int32_t)(sizeof names / sizeof *names), index, otherwise)

const char *verb_name(int32_t verb) {
    static const char *const names[] = {
        [DT_VERB_BARRIER] = "barrier",
        [DT_VERB_ALL_REDUCE] = "all_reduce",
        [DT_VERB_REDUCE_SCATTER] = "reduce_scatter",
        [DT_VERB_ALL_GATHER] = "all_gather",
        [DT_VERB_BROADCAST] = "broadcast",
        [DT_VERB_REDUCE] = "reduce",
        [DT_VERB_ALL_TO_ALL] = "all_to_all",
        [DT_VERB_SEND] = "send",
        [DT_VERB_RECV] = "recv",
        [DT_VERB_RECV_REDUCE] = "recv_reduce",
        [DT_VERB_ALLOC] = "alloc",
        [DT_VERB_FREE] = "free",
        [DT_VERB_SPLIT] = "split",
    };
    return NAME_AT(names, verb, "unknown");
}

const char *dtype_name(int32_t dtype) {
    static const char *const names[] = {
        [DT_F32] = "f32", [DT_F64] = "f64", [DT_I32] = "i32", [DT_I64] = "i64", [DT_F16] = "f16", [DT_BF16] = "bf16",
    };
    return NAME_AT(names, dtype, "byte");
}

const char *op_name(int32_t op) {
    static const char *const names[] = {
        [DT_SUM] = "sum", [DT_PRODUCT] = "product", [DT_MIN] = "min", [DT_MAX] = "max", [DT_AVERAGE] = "average",
    };
    return NAME_AT(names, op, "unknown");
}

void call_text(char *text, size_t bytes, uint64_t sequence, int32_t verb, int32_t dtype, int32_t op, int32_t root, int64_t count) {
    char detail[64] = "";
    switch (verb) {
    case DT_VERB_ALL_REDUCE:
    case DT_VERB_REDUCE_SCATTER: snprintf(detail, sizeof detail, ", %s", op_name(op)); break;
    case DT_VERB_REDUCE: snprintf(detail, sizeof detail, ", %s, root %d", op_name(op), root); break;
    case DT_VERB_BROADCAST: snprintf(detail, sizeof detail, ", root %d", root); break;
    case DT_VERB_RECV_REDUCE: snprintf(detail, sizeof detail, ", %s, peer %d", op_name(op), root); break;
    case DT_VERB_SEND:
    case DT_VERB_RECV: snprintf(detail, sizeof detail, ", peer %d", root); break;
    case DT_VERB_BARRIER:
    case DT_VERB_SPLIT: snprintf(text, bytes, "#%llu %s", (unsigned long long)sequence, verb_name(verb)); return;
    default: break;
    }
    snprintf(text, bytes, "#%llu %s(%s%s, %lld elements)", (unsigned long long)sequence, verb_name(verb), dtype_name(dtype), detail,
             (long long)count);
}

int32_t dt_abi_version(void) { return DT_ABI_VERSION; }

int64_t dtype_bytes(int32_t dtype) {
    switch (dtype) {
    case DT_F32:
    case DT_I32: return 4;
    case DT_F64:
    case DT_I64: return 8;
    case DT_F16:
    case DT_BF16: return 2;
    case DTYPE_BYTE: return 1;
    default: return 0;
    }
}

int64_t dt_dtype_bytes(int32_t dtype) { return dtype == DTYPE_BYTE ? 0 : dtype_bytes(dtype); }

const char *dt_status_text(dt_status status) {
    static const char *const texts[] = {
        [DT_OK] = "ok",
        [DT_INVALID_ARGUMENT] = "invalid argument",
        [DT_INVALID_USAGE] = "invalid usage",
        [DT_UNSUPPORTED] = "not supported here",
        [DT_OUT_OF_MEMORY] = "out of memory",
        [DT_SYSTEM_ERROR] = "a system call failed",
        [DT_REFUSED] = "refused at the rendezvous",
        [DT_TIMEOUT] = "timed out",
        [DT_MISMATCH] = "ranks called different collectives",
        [DT_PEER_LOST] = "a peer was lost",
        [DT_ABORTED] = "aborted",
        [DT_INTERNAL_ERROR] = "internal error",
    };
    return NAME_AT(texts, status, "unknown status");
}
