/* A driver that is none: libnvidia-ml.so.1 for tests, under the real nvidia-ml-py.
 *
 * It does what a scenario file says: $FAKE_NVML, else scenario.txt beside the library. The file is read again whenever
 * it changes, so a test can let a GPU fall off the bus while it is watched. Lines (G is an index or *; # starts a comment):
 *
 *   gpus 8                  how many there are
 *   init CODE               what nvmlInitWithFlags returns
 *   set G KEY VALUE         a value; text to the end of the line for name, uuid, bus
 *   set G KEY !CODE         that value is refused with this return code (3 is NOT_SUPPORTED)
 *   lost G N                the GPU is lost from its Nth call on (1 is at once)
 *   proc G PID MB           a compute process; MB - is unknown
 *   xid G CODE              an XID; each such line is reported once
 *   ret FUNCTION CODE       the function returns this
 *   hang FUNCTION N         the function hangs for ever from its Nth call on; * is any function
 *   crash FUNCTION N        it kills the process with SIGSEGV
 *   log PATH                a line a call: the function's name
 *
 * A key that is not set is NOT_SUPPORTED. Keys of fields: field.ID and field.ID.SCOPE; of links: link.N.
 * Layouts are nvml.h's, written down again here and not taken from nvidia-ml-py. With -DOLD it lacks what came late.
 */
#include "fake.h"

#define NUMBER(NAME, KEY, TYPE)                                          \
    int NAME(device_t *device, TYPE *value) {                            \
        int code = enter_gpu(#NAME, device);                             \
        if (code) return code;                                           \
        u64 found = 0;                                                   \
        if ((code = number(device->index, KEY, &found)) == OK) *value = (TYPE)found; \
        return leave(code);                                              \
    }

NUMBER(nvmlDeviceGetPowerUsage, "power", u32)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, "limit", u32)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_gen", u32)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_gen_max", u32)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width", u32)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_max", u32)
#ifdef OLD
NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, "reasons", u64)
#else
NUMBER(nvmlDeviceGetCurrentClocksEventReasons, "reasons", u64)
#endif

int nvmlInitWithFlags(u32 flags) {
    (void)flags;
    int code = enter("nvmlInitWithFlags");
    if (code) return code;
    for (int i = 0; i < GPUS; i++) devices[i].index = i;
    line_t *line = find("init", "0", NULL);
    for (int i = line_count; !line && i-- > 0;) if (!strcmp(lines[i].what, "init")) line = &lines[i];
    code = line ? atoi(line->a) : OK;
    started = code == OK;
    return leave(code);
}

int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code) {
    static char text[64];
    snprintf(text, sizeof text, "fake error %d", code);
    return text;
}

int nvmlSystemGetDriverVersion(char *version, u32 size) {
    int code = enter("nvmlSystemGetDriverVersion");
    return code ? code : leave(copied(0, "driver", version, size));
}

int nvmlDeviceGetCount_v2(u32 *count) {
    int code = enter("nvmlDeviceGetCount_v2");
    if (code) return code;
    if (!started) return leave(UNINITIALIZED);
    *count = (u32)gpu_count();
    return leave(OK);
}

int nvmlDeviceGetHandleByIndex_v2(u32 index, device_t **device) {
    if (index >= GPUS) return INVALID;
    int code = enter_gpu("nvmlDeviceGetHandleByIndex_v2", &devices[index]);
    if (code) return code;
    if ((int)index >= gpu_count()) return leave(INVALID);
    *device = &devices[index];
    u64 refused;
    code = number((int)index, "handle", &refused);
    return leave(code == NOT_SUPPORTED ? OK : code);
}

int nvmlDeviceGetName(device_t *device, char *name, u32 size) {
    int code = enter_gpu("nvmlDeviceGetName", device);
    return code ? code : leave(copied(device->index, "name", name, size));
}

int nvmlDeviceGetUUID(device_t *device, char *uuid, u32 size) {
    int code = enter_gpu("nvmlDeviceGetUUID", device);
    return code ? code : leave(copied(device->index, "uuid", uuid, size));
}

typedef struct { char legacy[16]; u32 domain, bus, device, id, subsystem; char bus_id[32]; } pci_t;
int nvmlDeviceGetPciInfo_v3(device_t *device, pci_t *pci) {
    int code = enter_gpu("nvmlDeviceGetPciInfo_v3", device);
    if (code) return code;
    memset(pci, 0, sizeof *pci);
    return leave(copied(device->index, "bus", pci->bus_id, sizeof pci->bus_id));
}

typedef struct { u32 gpu, memory; } utilization_t;
int nvmlDeviceGetUtilizationRates(device_t *device, utilization_t *rates) {
    int code = enter_gpu("nvmlDeviceGetUtilizationRates", device);
    if (code) return code;
    u64 util = 0;
    if ((code = number(device->index, "util", &util)) == OK) *rates = (utilization_t){(u32)util, (u32)util / 2};
    return leave(code);
}

static int memory_of(int gpu, u64 *total, u64 *reserved, u64 *used) {
    int code = number(gpu, "memory_total", total);
    if (code == OK) code = number(gpu, "memory_used", used);
    if (code == OK && number(gpu, "memory_reserved", reserved) != OK) *reserved = 0;
    return code;
}

typedef struct { u64 total, free, used; } memory_t;
int nvmlDeviceGetMemoryInfo(device_t *device, memory_t *memory) {
    int code = enter_gpu("nvmlDeviceGetMemoryInfo", device);
    if (code) return code;
    u64 total = 0, reserved = 0, used = 0;
    if ((code = memory_of(device->index, &total, &reserved, &used)) == OK)
        *memory = (memory_t){total, total - used - reserved, used + reserved};
    return leave(code);
}

#ifndef OLD
typedef struct { u32 version; u64 total, reserved, free, used; } memory2_t;
int nvmlDeviceGetMemoryInfo_v2(device_t *device, memory2_t *memory) {
    int code = enter_gpu("nvmlDeviceGetMemoryInfo_v2", device);
    if (code) return code;
    if (memory->version != (sizeof *memory | 2u << 24)) return leave(VERSION);
    u64 total = 0, reserved = 0, used = 0;
    if ((code = memory_of(device->index, &total, &reserved, &used)) == OK) {
        memory->total = total, memory->reserved = reserved, memory->used = used;
        memory->free = total - used - reserved;
    }
    return leave(code);
}
#endif

int nvmlDeviceGetTemperature(device_t *device, int sensor, u32 *degrees) {
    int code = enter_gpu("nvmlDeviceGetTemperature", device);
    if (code) return code;
    if (sensor != 0) return leave(INVALID);
    u64 found = 0;
    if ((code = number(device->index, "temp", &found)) == OK) *degrees = (u32)found;
    return leave(code);
}

static int clock_of(const char *name, device_t *device, int type, const char *suffix, u32 *mhz) {
    int code = enter_gpu(name, device);
    if (code) return code;
    char key[32];
    snprintf(key, sizeof key, "%s%s", type == 1 ? "sm_clock" : type == 2 ? "memory_clock" : "other_clock", suffix);
    u64 found = 0;
    if ((code = number(device->index, key, &found)) == OK) *mhz = (u32)found;
    return leave(code);
}

int nvmlDeviceGetClockInfo(device_t *device, int type, u32 *mhz) {
    return clock_of("nvmlDeviceGetClockInfo", device, type, "", mhz);
}

int nvmlDeviceGetMaxClockInfo(device_t *device, int type, u32 *mhz) {
    return clock_of("nvmlDeviceGetMaxClockInfo", device, type, "_max", mhz);
}

typedef struct {
    u32 field, scope;
    long long at, latency;
    u32 type;
    int code;
    union { double d; u32 ui; u64 ull; long long sll; } value;
} field_t;
int nvmlDeviceGetFieldValues(device_t *device, int count, field_t *fields) {
    int code = enter_gpu("nvmlDeviceGetFieldValues", device);
    if (code) return code;
    for (int i = 0; i < count; i++) {
        char key[32];
        u64 found = 0;
        snprintf(key, sizeof key, fields[i].scope ? "field.%u.%u" : "field.%u", fields[i].field, fields[i].scope);
        fields[i].code = number(device->index, key, &found);
        fields[i].type = found > 0xffffffffull ? 3 : 1;
        memset(&fields[i].value, 0xff, sizeof fields[i].value);  /* what is not of its type is rubbish */
        if (fields[i].type == 3) fields[i].value.ull = found;
        else fields[i].value.ui = (u32)found;
    }
    return leave(OK);
}

typedef struct { u32 pid; u64 used; u32 gi, ci; } process_t;
int nvmlDeviceGetComputeRunningProcesses_v3(device_t *device, u32 *count, process_t *rows) {
    int code = enter_gpu("nvmlDeviceGetComputeRunningProcesses_v3", device);
    if (code) return code;
    u64 refused = 0;
    code = number(device->index, "processes", &refused);
    if (code != OK && code != NOT_SUPPORTED) return leave(code);
    if (code == OK && refused) return leave((int)refused);
    u32 found = 0;
    for (int i = 0; i < line_count; i++) {
        if (strcmp(lines[i].what, "proc") || atoi(lines[i].a) != device->index) continue;
        if (rows && found < *count)
            rows[found] = (process_t){(u32)atoi(lines[i].b), *lines[i].c == '-' ? ~0ull : strtoull(lines[i].c, NULL, 0) << 20,
                                      ~0u, ~0u};
        found++;
    }
    code = found > (rows ? *count : 0) ? SMALL : OK;
    *count = found;
    return leave(code);
}

int nvmlDeviceGetNvLinkState(device_t *device, u32 link, u32 *up) {
    int code = enter_gpu("nvmlDeviceGetNvLinkState", device);
    if (code) return code;
    char key[32];
    u64 found = 0;
    snprintf(key, sizeof key, "link.%u", link);
    if ((code = number(device->index, key, &found)) == OK) *up = (u32)found;
    return leave(code);
}

int nvmlDeviceGetMigMode(device_t *device, u32 *now, u32 *pending) {
    int code = enter_gpu("nvmlDeviceGetMigMode", device);
    if (code) return code;
    u64 found = 0;
    if ((code = number(device->index, "mig", &found)) == OK) *now = *pending = (u32)found;
    return leave(code);
}

int nvmlDeviceGetRemappedRows(device_t *device, u32 *corrected, u32 *uncorrected, u32 *pending, u32 *failed) {
    int code = enter_gpu("nvmlDeviceGetRemappedRows", device);
    if (code) return code;
    const char *text;
    if ((code = text_of(device->index, "remapped", &text)) == OK) sscanf(text, "%u %u %u %u", corrected, uncorrected, pending, failed);
    return leave(code);
}

#ifndef OLD
typedef struct { u32 version; unsigned char cluster[16]; int status; u32 clique, state, mask; unsigned char summary; } fabric_t;
int nvmlDeviceGetGpuFabricInfoV(device_t *device, fabric_t *fabric) {
    int code = enter_gpu("nvmlDeviceGetGpuFabricInfoV", device);
    if (code) return code;
    u32 newest = 3, version = fabric->version >> 24;
    u64 limit;
    if (number(device->index, "fabric_version", &limit) == OK) newest = (u32)limit;
    if (version > newest || (fabric->version & 0xffffff) != (version == 3 ? sizeof *fabric : 36)) return leave(VERSION);
    const char *text;
    u32 state = 0, status = 0, mask = 0, summary = 0, clique = 0;
    if ((code = text_of(device->index, "fabric", &text)) == OK) {  /* state status mask summary [clique] */
        if (sscanf(text, "%u %u %i %u %u", &state, &status, (int *)&mask, &summary, &clique) == 5)
            fabric->cluster[15] = 7, fabric->clique = clique;
        fabric->state = state, fabric->status = (int)status, fabric->mask = mask;
        if (version == 3) fabric->summary = (unsigned char)summary;
    }
    return leave(code);
}
#endif

typedef struct { int dummy; } set_t;
typedef struct { device_t *device; u64 type, data; u32 gi, ci; } event_t;
static set_t the_set;
static int registered[GPUS];

int nvmlEventSetCreate(set_t **set) {
    int code = enter("nvmlEventSetCreate");
    if (code) return code;
    *set = &the_set;
    return leave(OK);
}

int nvmlEventSetFree(set_t *set) { (void)set; return OK; }

int nvmlDeviceRegisterEvents(device_t *device, u64 types, set_t *set) {
    int code = enter_gpu("nvmlDeviceRegisterEvents", device);
    if (code) return code;
    if (set != &the_set) return leave(INVALID);
    if (types != 8) return leave(NOT_SUPPORTED);
    registered[device->index] = 1;
    return leave(OK);
}

int nvmlEventSetWait_v2(set_t *set, event_t *event, u32 timeout_ms) {
    if (set != &the_set) return INVALID;
    for (u32 waited = 0;; waited += 10) {
        int code = enter("nvmlEventSetWait_v2");
        if (code) return code;
        int seen = 0;
        for (int i = 0; i < line_count; i++) {
            if (strcmp(lines[i].what, "xid") || seen++ < xids_told) continue;
            xids_told++;
            int gpu = atoi(lines[i].a);
            if (!registered[gpu]) continue;
            *event = (event_t){&devices[gpu], 8, strtoull(lines[i].b, NULL, 0), ~0u, ~0u};
            return leave(OK);
        }
        leave(OK);
        if (waited >= timeout_ms) return TIMEOUT;
        usleep(10000);
    }
}
