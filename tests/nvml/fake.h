/* The scenario of the fake driver: what fake.c answers from. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef unsigned int u32;
typedef unsigned long long u64;
enum { OK, UNINITIALIZED, INVALID, NOT_SUPPORTED, NO_PERMISSION, SMALL = 7, TIMEOUT = 10, LOST = 15, VERSION = 25 };
enum { GPUS = 64, LINES = 8192 };

typedef struct { char what[16], a[64], b[64], c[128]; } line_t;
typedef struct { int index; } device_t;

static line_t lines[LINES];
static int line_count, xids_told, started;
static struct timespec changed;
static device_t devices[GPUS];
static u64 calls_of_gpu[GPUS];
static struct { char name[64]; u64 calls; } functions[128];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char log_path[4096];

static const char *scenario(void) {
    static char path[4096];
    const char *set = getenv("FAKE_NVML");
    if (set) return set;
    if (!*path) {
        Dl_info self;
        dladdr((void *)scenario, &self);
        snprintf(path, sizeof path, "%s", self.dli_fname);
        char *slash = strrchr(path, '/');
        snprintf(slash ? slash + 1 : path, 32, "scenario.txt");
    }
    return path;
}

/* Read the file when it has changed. With the lock held. */
static void fresh(void) {
    struct stat now;
    if (stat(scenario(), &now) || (now.st_mtim.tv_sec == changed.tv_sec && now.st_mtim.tv_nsec == changed.tv_nsec)) return;
    FILE *file = fopen(scenario(), "r");
    if (!file) return;
    char text[512];
    line_count = 0;
    *log_path = 0;
    while (line_count < LINES && fgets(text, sizeof text, file)) {
        line_t *line = &lines[line_count];
        memset(line, 0, sizeof *line);
        if (sscanf(text, "%15s %63s %63s %127[^\n]", line->what, line->a, line->b, line->c) < 2 || *line->what == '#') continue;
        if (!strcmp(line->what, "log")) sscanf(text, "%*s %4095[^\n]", log_path);
        line_count++;
    }
    fclose(file);
    changed = now.st_mtim;
}

static line_t *find(const char *what, const char *a, const char *b) {
    for (int i = line_count; i-- > 0;)  /* the last line wins */
        if (!strcmp(lines[i].what, what) && (!strcmp(lines[i].a, a) || !strcmp(lines[i].a, "*")) &&
            (!b || !strcmp(lines[i].b, b)))
            return &lines[i];
    return NULL;
}

/* The value of a key as text. */
static int text_of(int gpu, const char *key, const char **value) {
    char index[16];
    snprintf(index, sizeof index, "%d", gpu);
    line_t *line = find("set", index, key);
    if (!line) return NOT_SUPPORTED;
    if (*line->c == '!') return atoi(line->c + 1);
    *value = line->c;
    return OK;
}

static int number(int gpu, const char *key, u64 *value) {
    const char *text;
    int code = text_of(gpu, key, &text);
    if (code == OK) *value = strtoull(text, NULL, 0);
    return code;
}

static int copied(int gpu, const char *key, char *to, u32 size) {
    const char *text;
    int code = text_of(gpu, key, &text);
    if (code == OK) snprintf(to, size, "%s", text);
    return code;
}

static u64 count_of(const char *name) {
    for (int i = 0; i < 128; i++) {
        if (!*functions[i].name) snprintf(functions[i].name, 64, "%s", name);
        if (!strcmp(functions[i].name, name)) return ++functions[i].calls;
    }
    return 0;
}

static int due(const char *what, const char *name, u64 count) {
    line_t *line = find(what, name, NULL);
    return line && count >= strtoull(*line->b ? line->b : "1", NULL, 0);
}

/* What every call begins with: the log, hangs, crashes, codes. Returns with the lock held when it is OK. */
static int enter(const char *name) {
    pthread_mutex_lock(&lock);
    fresh();
    u64 count = count_of(name);
    FILE *file = *log_path ? fopen(log_path, "a") : NULL;
    if (file) { fprintf(file, "%s\n", name); fclose(file); }
    int crash = due("crash", name, count), hang = due("hang", name, count);
    line_t *ret = find("ret", name, NULL);
    int code = ret ? atoi(ret->b) : OK;
    if (crash || hang || code) pthread_mutex_unlock(&lock);
    if (crash) { signal(SIGSEGV, SIG_DFL); raise(SIGSEGV); }
    while (hang) pause();
    return code;
}

static int leave(int code) {
    pthread_mutex_unlock(&lock);
    return code;
}

/* The same for a call on a GPU, which may be lost. */
static int enter_gpu(const char *name, device_t *device) {
    int code = enter(name);
    if (code) return code;
    if (!device || device < devices || device >= devices + GPUS) return leave(INVALID);
    char index[16];
    snprintf(index, sizeof index, "%d", device->index);
    u64 count = ++calls_of_gpu[device->index];
    if (due("lost", index, count)) return leave(LOST);
    return OK;
}

static int gpu_count(void) {
    for (int i = line_count; i-- > 0;)
        if (!strcmp(lines[i].what, "gpus")) return atoi(lines[i].a);
    return 0;
}
