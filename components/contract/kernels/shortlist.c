#include "common.h"

/* Values looked at to guess how large the best are; values that are sorted by counting, and of how many at
   a time the larger are counted. */
#define SAMPLE 256
#define COUNTED 640
#define LANES 64

/* A page and what is said of it in one number: more is better, and of equals the first page is. */
INLINE int64_t key_of(float value, int64_t page) {
  int32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return (int64_t)bits << 32 | (INT32_MAX - page);
}

INLINE int32_t page_of(int64_t key) { return INT32_MAX - (int32_t)(key & INT32_MAX); }

/* Put the k largest of n different keys first, in descending order (quicksort that leaves the rest alone). */
static void best_first(int64_t *key, int64_t n, int64_t k) {
  while (n > 16) {
    const int64_t a = key[0], b = key[n / 2], c = key[n - 1];
    const int64_t pivot = a > b ? (b > c ? b : a > c ? c : a) : (a > c ? a : b > c ? c : b);
    int64_t i = 0, j = n - 1;
    while (i <= j) {
      while (key[i] > pivot) i++;
      while (key[j] < pivot) j--;
      if (i <= j) {
        const int64_t moved = key[i];
        key[i++] = key[j];
        key[j--] = moved;
      }
    }
    best_first(key, j + 1, k);
    if (k <= i) return;
    key += i, n -= i, k -= i;
  }
  for (int64_t i = 1; i < n; i++) {
    const int64_t moved = key[i];
    int64_t j = i;
    for (; j && key[j - 1] < moved; j--) key[j] = key[j - 1];
    key[j] = moved;
  }
}

INLINE float larger_of(float a, float b) { return a > b ? a : b; }

/* The largest of n values, or 0. In lanes: the compiler may not change the order of comparisons itself. */
INLINE float largest_of(const float *value, int64_t n) {
  float lane[16] = {0}, found = 0;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int64_t j = 0; j < 16; j++) lane[j] = larger_of(value[i + j], lane[j]);
  for (; i < n; i++) found = larger_of(value[i], found);
  for (int64_t j = 0; j < 16; j++) found = larger_of(lane[j], found);
  return found;
}

/* Values and their pages: room for LANES more than there are pages; and a mark for each page, in whole words. */
struct pairs {
  float *value;
  int32_t *page;
  uint8_t *mark;
};

/* Does something for each i below n whose mark is 1 and not 0, eight at a time: most have none. Words are read as
   little-endian machines have them. */
#define EACH_MARKED(i, mark, n)                       \
  for (int64_t word_ = 0; word_ < (n); word_ += 8)    \
    for (uint64_t bits_ = word_of((mark) + word_), i; \
         bits_ && (i = (uint64_t)word_ + ((uint64_t)__builtin_ctzll(bits_) >> 3), 1); bits_ &= bits_ - 1)

INLINE uint64_t word_of(const uint8_t *mark) {
  uint64_t word;
  memcpy(&word, mark, sizeof word);
  return word;
}

/* Those of n values that are at least as large as a bound, and their pages: the value's own place where none is
   given. Returns how many. */
INLINE int64_t gather(const float *value, const int32_t *page, int64_t n, float bound, struct pairs found) {
  int64_t many = 0;
  for (int64_t i = 0; i < n; i++) found.mark[i] = value[i] >= bound;
  memset(found.mark + n, 0, 8);
  EACH_MARKED(i, found.mark, n) {
    found.value[many] = value[i];
    found.page[many++] = page ? page[i] : (int32_t)i;
  }
  return many;
}

/* A bound that somewhat more than k values reach, probably: from a sample. */
INLINE float guess(const float *value, int64_t n, int64_t k) {
  float sample[SAMPLE];
  const float hit = (float)k * SAMPLE / (float)n;
  /* Three standard deviations above the expected number. */
  const int wanted = (int)(hit + 3 * sqrtf(hit) + 1);
  float bound = FLT_MIN;
  if (n < 4 * SAMPLE || wanted >= SAMPLE) return bound;
  for (int i = 0; i < SAMPLE; i++) sample[i] = value[i * n / SAMPLE];
  for (int larger = 0; larger < wanted;) {
    const float largest = largest_of(sample, SAMPLE);
    if (largest < FLT_MIN) return FLT_MIN;
    bound = largest;
    for (int i = 0; i < SAMPLE; i++) {
      larger += sample[i] == largest;
      sample[i] = sample[i] == largest ? 0 : sample[i];
    }
  }
  return bound;
}

/* Puts a page at its place among k, or at one of those after it which its equals have: first the first page. */
INLINE void put(int32_t page, int64_t place, int64_t k, int32_t *found) {
  for (; place < k; place++) {
    const int32_t there = found[place];
    if (there < 0) {
      found[place] = page;
      return;
    }
    if (there > page) found[place] = page, page = there;
  }
}

/* Of the k largest positive of n values their pages, best first, and returns how many there are. Of equals
   the first page is better. key has room for all, best too. */
INLINE int64_t best_pages(
    const float *value, const int32_t *page, int64_t n, int64_t k, struct pairs best, int64_t *key, int32_t *found) {
  if (!k) return 0;
  const float bound = guess(value, n, k);
  int64_t many = gather(value, page, n, bound, best);
  if (many < k && bound > FLT_MIN) many = gather(value, page, n, FLT_MIN, best);
  const int64_t size = many < k ? many : k;
  if (many > COUNTED) {
    for (int64_t i = 0; i < many; i++) key[i] = key_of(best.value[i], best.page[i]);
    best_first(key, many, k);
    for (int64_t i = 0; i < size; i++) found[i] = page_of(key[i]);
    return size;
  }
  /* Each one's place is the number of those that are larger. */
  memset(found, -1, (size_t)k * sizeof(int32_t));
  for (int64_t first = 0; first < many; first += LANES) {
    int32_t larger[LANES] = {0};
    for (int64_t j = 0; j < many; j++)
      for (int i = 0; i < LANES; i++) larger[i] += best.value[j] > best.value[first + i];
    const int64_t stop = first + LANES < many ? first + LANES : many;
    for (int64_t i = first; i < stop; i++) put(best.page[i], larger[i - first], k, found);
  }
  return size;
}

/* The place that a page would have among k others, best first, by what is said of it. */
INLINE int64_t place_of(float said, int64_t page, const float *value, const int32_t *others, int64_t k) {
  const int64_t key = key_of(said, page);
  int64_t first = 0;
  for (int64_t last = k; first < last;) {
    const int64_t middle = (first + last) / 2, other = others[middle];
    if (key_of(value[other], other) > key)
      first = middle + 1;
    else
      last = middle;
  }
  return first;
}

/* Adds up the weighted lists of a history; returns of how many pages that may be shown they say something, and
   which and what. sum and found's marks are 0 for all pages, before and after. */
INLINE int64_t add_lists(
    const int32_t *past, const float *weight, int64_t length, const int32_t *index, const float *listed,
    int64_t entries, int64_t begin, int64_t end, const uint8_t *may, double *sum, struct pairs found) {
  int64_t n = 0, many = 0;
  /* Without branches: whether a page came before is as good as random. */
  for (int64_t j = 0; j < length; j++) {
    if (past[j] < 0) continue;
    const int64_t at = past[j] * entries;
    for (int64_t e = at + begin; e < at + end; e++) {
      const int32_t p = index[e];
      const float more = listed[e] * weight[j];
      sum[p] += more;
      found.page[n] = p;
      n += !found.mark[p];
      found.mark[p] = 1;
    }
  }
  for (int64_t i = 0; i < n; i++) {
    const int32_t p = found.page[i];
    found.page[many] = p;
    found.value[many] = (float)sum[p];
    many += may[p];
    sum[p] = 0;
    found.mark[p] = 0;
  }
  return many;
}

/* Planes of all pages begin with a line of the cache. */
INLINE int64_t plane_of(int64_t pages) { return (pages + 15) / 16 * 16; }

/* What is asked for a batch of requests, and where the answer goes; see shortlist. */
struct batch {
  int64_t pages, sources, scores, lists;
  const int64_t *bound;
  const int32_t *index;
  const float *listed;
  const int64_t *plane;
  int64_t length;
  const int32_t *history;
  const float *history_weight;
  int64_t latest;
  const float *latest_weight;
  int64_t planes;
  const int64_t *dense;
  const float *const *given;
  const float *opened;
  const double *newness;
  const uint8_t *allowed;
  const int64_t *quota;
  int64_t most;
  uint8_t *kept;
  const int64_t *back_bound;
  const int32_t *back;
  int64_t size, room;
  int32_t *row, *page, *source;
  float *fused;
  int32_t *rank;
  float *said, *best;
};

/* The longest of the quotas and most. */
INLINE int64_t longest_of(const int64_t *quota, int64_t sources, int64_t most) {
  int64_t longest = most;
  for (int64_t s = 0; s < sources; s++) longest = quota[s] > longest ? quota[s] : longest;
  return longest;
}

/* Bytes that a thread of the next function works in; whole lines of the cache. */
int64_t shortlist_work(int64_t pages, int64_t sources, int64_t lists, const int64_t *quota, int64_t most) {
  const int64_t longest = longest_of(quota, sources, most);
  const int64_t floats = (3 + lists) * plane_of(pages) + 2 * (pages + LANES), doubles = plane_of(pages);
  const int64_t bytes = 4 * floats + 8 * (doubles + pages + sources) +
      4 * (pages + 2 * (pages + LANES) + (sources + 1) * longest + sources * pages) + 4 * (pages + 8);
  return (bytes + 63) / 64 * 64;
}

/* What a thread works in. */
struct work {
  float *total, *shown, *back_total, *summed; /* Planes: the fused scores, what a given source says, (lists) */
  double *sum;
  int64_t *key, *named;
  int32_t *number, *proposed, *chosen, *back_rank;
  uint8_t *counts, *stay;
  struct pairs touched, sorted; /* What lists say, and what is sorted. */
};

INLINE struct work work_of(const struct batch *batch, char *memory) {
  const int64_t pages = batch->pages, sources = batch->sources, stride = plane_of(pages);
  const int64_t longest = longest_of(batch->quota, sources, batch->most);
  struct work work = {.total = (float *)memory};
  work.shown = work.total + stride, work.back_total = work.shown + stride;
  work.summed = work.back_total + stride;
  work.sum = (double *)(work.summed + batch->lists * stride);
  work.key = (int64_t *)(work.sum + stride), work.named = work.key + pages;
  work.touched.value = (float *)(work.named + sources);
  work.sorted.value = work.touched.value + pages + LANES;
  work.touched.page = (int32_t *)(work.sorted.value + pages + LANES);
  work.sorted.page = work.touched.page + pages + LANES;
  work.number = work.sorted.page + pages + LANES, work.proposed = work.number + pages;
  work.chosen = work.proposed + sources * longest, work.back_rank = work.chosen + longest;
  work.counts = (uint8_t *)(work.back_rank + sources * pages);
  work.touched.mark = work.counts + pages + 8, work.sorted.mark = work.touched.mark + pages + 8;
  work.stay = work.sorted.mark + pages + 8;
  memset(work.touched.mark, 0, (size_t)pages);
  memset(work.sum, 0, (size_t)pages * sizeof(double));
  memset(work.stay + pages, 0, 8);
  return work;
}

/* The candidates of one request, from the given place on; returns where they end. */
WIDEST static int64_t shortlist_of(const struct batch *batch, int64_t b, int64_t first, const struct work *work) {
  const int64_t pages = batch->pages, sources = batch->sources, lists = batch->lists, planes = batch->planes;
  const int64_t entries = batch->bound[lists], stride = plane_of(pages), length = batch->length, room = batch->room;
  const int64_t latest = batch->latest, most = batch->most, *bound = batch->bound, *plane = batch->plane;
  const int64_t *dense = batch->dense, *quota = batch->quota, longest = longest_of(quota, sources, most);
  const int32_t *index = batch->index;
  const float *listed = batch->listed, *const *given = batch->given;
  const float *history_weight = batch->history_weight, *latest_weight = batch->latest_weight;
  const double *newness = batch->newness;
  int32_t *row = batch->row, *page = batch->page, *source = batch->source, *rank = batch->rank;
  float *fused = batch->fused, *said = batch->said, *best = batch->best;
  float *total = work->total, *shown = work->shown, *back_total = work->back_total, *summed = work->summed;
  double *sum = work->sum;
  int64_t *key = work->key, *named = work->named, found = first;
  int32_t *number = work->number, *proposed = work->proposed, *chosen = work->chosen, *back_rank = work->back_rank;
  uint8_t *counts = work->counts, *stay = work->stay;
  const struct pairs touched = work->touched, sorted = work->sorted;

  const uint8_t *may = batch->allowed + b * pages;
  const int32_t *past = batch->history + b * length;
  const float *often = batch->opened + b * pages;
  uint8_t *stays = batch->kept + b * pages;
  const int32_t *again = batch->back + batch->back_bound[b];
  const int64_t backs = batch->back_bound[b + 1] - batch->back_bound[b];
  memcpy(counts, may, (size_t)pages);
  for (int64_t i = 0; i < backs; i++) counts[again[i]] = 0;
  const float popular = larger_of(largest_of(often, pages), 1);
  for (int64_t p = 0; p < pages; p++) {
    const float share = 1.0f + often[p] / popular;
    total[p] = may[p] ? (float)(1e-6 * ((double)share + 1e-3 * newness[p])) : 0.0f;
  }
  for (int64_t s = 0; s < sources; s++) {
    /* What it says of all pages, and of those that count: which, how many. What comes again is put aside
       while the others get their places. */
    const float *value, *counted = shown;
    const int32_t *of = NULL;
    int64_t d = 0, n = pages;
    while (d < planes && dense[d] != s) d++;
    if (d < planes) {
      value = given[d] + b * pages;
      for (int64_t p = 0; p < pages; p++) shown[p] = counts[p] ? value[p] : 0.0f;
    } else {
      int64_t l = 0;
      while (plane[l * 4 + 2] != s && plane[l * 4 + 3] != s) l++;
      const int whole = plane[l * 4 + 2] == s;
      float *to = summed + l * stride;
      n = add_lists(
          past, whole ? history_weight : latest_weight, whole || latest > length ? length : latest, index, listed,
          entries, bound[l], bound[l + 1], may, sum, touched);
      memset(to, 0, (size_t)pages * sizeof(float));
      for (int64_t i = 0; i < n; i++) {
        const int32_t p = touched.page[i];
        to[p] = touched.value[i];
        touched.value[i] = counts[p] ? to[p] : 0;
      }
      value = to, counted = touched.value, of = touched.page;
    }
    best[s * batch->size + b] = largest_of(counted, n);
    int32_t *of_back = back_rank + s * pages, *in_list = proposed + s * longest;
    named[s] = best_pages(counted, of, n, quota[s], sorted, key, in_list);
    for (int64_t i = 0; i < named[s]; i++) total[in_list[i]] += 1.0f / (60.0f + (float)i);
    for (int64_t i = 0; i < backs; i++) {
      const float own = value[again[i]];
      const int64_t at = own > 0 ? place_of(own, again[i], value, in_list, named[s]) : quota[s];
      of_back[i] = (int32_t)at;
      if (at < quota[s]) total[again[i]] += 1.0f / (60.0f + (float)at);
    }
  }

  for (int64_t i = 0; i < backs; i++) {
    back_total[i] = total[again[i]];
    total[again[i]] = 0;
  }
  const int64_t united = best_pages(total, NULL, pages, most, sorted, key, chosen);
  for (int64_t i = 0; i < united; i++) stays[chosen[i]] = 1;
  for (int64_t i = 0; i < backs; i++)
    stays[again[i]] |= place_of(back_total[i], again[i], total, chosen, united) < most;
  for (int64_t i = 0; i < backs; i++) total[again[i]] = back_total[i];
  memset(number, -1, (size_t)pages * sizeof(int32_t));
  memcpy(stay, stays, (size_t)pages);
  EACH_MARKED(p, stay, pages) {
    number[p] = (int32_t)found;
    row[found] = (int32_t)b, page[found] = (int32_t)p, source[found] = -1, fused[found] = total[p];
    found++;
  }
  for (int64_t s = 0; s < sources; s++) {
    int32_t *of_source = rank + s * room;
    for (int64_t i = first; i < found; i++) of_source[i] = (int32_t)quota[s];
    for (int64_t i = 0; i < named[s]; i++) {
      const int32_t at = number[proposed[s * longest + i]];
      if (at >= 0) of_source[at] = (int32_t)i;
    }
    for (int64_t i = 0; i < backs; i++)
      if (number[again[i]] >= 0) of_source[number[again[i]]] = back_rank[s * pages + i];
  }
  int32_t *least = sorted.page;
  for (int64_t i = first; i < found; i++) least[i - first] = INT32_MAX;
  for (int64_t s = 0; s < sources; s++) {
    const int32_t *of_source = rank + s * room, end = (int32_t)quota[s];
    for (int64_t i = first; i < found; i++) {
      const int32_t at = of_source[i], before = least[i - first], better = at < end && at < before;
      least[i - first] = better ? at : before;
      source[i] = better ? (int32_t)s : source[i];
    }
  }

  /* What is said of the candidates: all of them may be shown, so that given planes need no mask. */
  for (int64_t d = 0; d < planes; d++) {
    const float *from = given[d] + b * pages;
    float *to = said + dense[d] * room;
    for (int64_t i = first; i < found; i++) to[i] = from[page[i]];
    if (dense[d] < sources) continue;
    for (int64_t p = 0; p < pages; p++) shown[p] = counts[p] ? from[p] : 0.0f;
    best[dense[d] * batch->size + b] = largest_of(shown, pages);
  }
  for (int64_t l = 0; l < lists; l++) {
    for (int64_t which = 0; which < 4; which++) {
      const int64_t q = plane[l * 4 + which];
      if (q < 0) continue;
      float *to = said + q * room, largest = 0;
      if (q < sources) {
        for (int64_t i = first; i < found; i++) to[i] = summed[l * stride + page[i]];
        continue;
      }
      for (int64_t i = first; i < found; i++) to[i] = 0;
      if (which >= 2) {
        const int64_t n = add_lists(
            past, which == 2 ? history_weight : latest_weight, which == 2 || latest > length ? length : latest,
            index, listed, entries, bound[l], bound[l + 1], may, sum, touched);
        for (int64_t i = 0; i < n; i++) {
          const int32_t p = touched.page[i], at = number[p];
          if (at >= 0) to[at] = touched.value[i];
          touched.value[i] = counts[p] ? touched.value[i] : 0;
        }
        largest = largest_of(touched.value, n);
      } else if (which < length && past[which] >= 0) {
        const int64_t at = past[which] * entries;
        for (int64_t e = at + bound[l]; e < at + bound[l + 1]; e++) {
          const int32_t p = index[e];
          if (listed[e] == 0 || !may[p]) continue;
          if (counts[p]) largest = larger_of(listed[e], largest);
          if (number[p] >= 0) to[number[p]] = listed[e];
        }
      }
      best[q * batch->size + b] = largest;
    }
  }
  return found;
}

/* Moves what was found of a request in each of some rows of numbers of four bytes to where the one before it ends. */
INLINE void move(void *numbers, int64_t rows, int64_t room, int64_t from, int64_t count, int64_t to) {
  uint32_t *row = numbers;
  for (int64_t i = 0; i < rows; i++, row += room) memmove(row + to, row + from, (size_t)count * sizeof *row);
}

/* The first stage of requests: see retrieval.Retriever.shortlist, whose numbers these are, bit by bit.
   Returns the number of candidates of all requests. */
int64_t shortlist(
    int64_t size, int64_t pages, int64_t sources, int64_t scores,
    int64_t lists, const int64_t *bound, /* (lists + 1), columns of the next two */
    const int32_t *index, const float *listed, /* (pages + 1, bound[lists]) */
    const int64_t *plane,                      /* (lists, 4): scores of the last page, the one before, the history
                                                  and the latest pages; -1 for none */
    int64_t length, const int32_t *history,    /* (size, length), -1 pads */
    const float *history_weight, int64_t latest, const float *latest_weight,
    int64_t planes, const int64_t *dense, /* (planes), scores that are given */
    const float *const *given,            /* (planes) of (size, pages) */
    const float *opened,                  /* (size, pages) */
    const double *newness,                /* (pages) */
    const uint8_t *allowed,               /* (size, pages) */
    const int64_t *quota,                 /* (sources) */
    int64_t most,                         /* candidates of a request, beside those that are kept already */
    uint8_t *kept,                        /* (size, pages), in and work */
    const int64_t *back_bound, const int32_t *back, /* (size + 1), pages that take no place from others */
    int64_t room,                         /* columns of what follows: as many as all requests may have */
    int32_t *row, int32_t *page, int32_t *source, float *fused, int32_t *rank, /* (room), rank (sources, room) */
    float *said, float *best,             /* (scores, room), (scores, size) */
    const int64_t *begin, int64_t *end,   /* (size): where each request has room in them, and work */
    int64_t threads, char *work) {        /* (threads, shortlist_work(...)) bytes */
  const struct batch batch = {
      pages, sources, scores,  lists,   bound,     index, listed, plane, length,     history, history_weight,
      latest, latest_weight,   planes,  dense,     given, opened, newness, allowed,  quota,   most,
      kept,  back_bound, back, size,    room,      row,   page,   source, fused,     rank,    said, best};
  const int64_t bytes = shortlist_work(pages, sources, lists, quota, most);
#pragma omp parallel num_threads((int)threads) if (size > 1)
  {
    const struct work own = work_of(&batch, work + THREAD * bytes);
#pragma omp for schedule(dynamic)
    for (int64_t b = 0; b < size; b++) end[b] = shortlist_of(&batch, b, begin[b], &own);
  }
  int64_t found = size ? end[0] : 0;
  for (int64_t b = 1; b < size; b++) {
    const int64_t from = begin[b], count = end[b] - from;
    move(row, 1, room, from, count, found), move(page, 1, room, from, count, found);
    move(source, 1, room, from, count, found), move(fused, 1, room, from, count, found);
    move(rank, sources, room, from, count, found), move(said, scores, room, from, count, found);
    found += count;
  }
  return found;
}
