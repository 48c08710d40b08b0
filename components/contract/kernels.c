/* Loops that NumPy would walk in many passes; components/contract/kernels.py says what each is for.
   C11 without libraries. All arrays are C-contiguous. */
#include <stdint.h>
#include <string.h>

/* One library for all processors of a kind: the widest instructions that the one at hand has are used. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__)
#define WIDEST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDEST
#endif

#define INLINE static inline __attribute__((always_inline))

/* Candidates handled at a time: their sums stay in the first cache. */
#define ROWS 64
/* Values that are gathered, at least, before all but the best are dropped. */
#define GATHERED 1024

/* The value that more than half of n have, if there is one (Boyer and Moore's majority vote). */
INLINE float majority(const float *value, int n) {
  float found = value[0];
  int votes = 0;
  for (int i = 0; i < n; i++) {
    if (!votes) found = value[i];
    votes += value[i] == found ? 1 : -1;
  }
  return found;
}

/* Between which knots x lies, from 0; in part how far on the way, 0 to 1. */
INLINE int64_t between(float x, const float *knot, const float *per_gap, int64_t knots, float *part) {
  int64_t at = 0;
  for (int64_t k = 1; k < knots - 1; k++) at += x >= knot[k];
  const float t = (x - knot[at]) * per_gap[at];
  *part = t < 0 ? 0 : t > 1 ? 1 : t;
  return at;
}

/* What the linear parts of the ranker's network make of n candidates: see ranking.Tables. A number adds to
   each column what lies between its values at two knots. What most candidates of a block share, as what the
   request says of itself and what a source says of pages that it does not list, is added once. */
WIDEST void first_layer(
    int64_t n, int64_t fields, int64_t knots, int64_t codes, int64_t units, int64_t vectors, int64_t columns,
    const float *number,     /* (fields, n) */
    const float *knot,       /* (fields, knots), ascending */
    const float *per_gap,    /* (fields, knots - 1), 1 / their distances */
    const float *value,      /* (fields, knots, columns), at the knots */
    const float *mean, const float *per_scale, const float *square, /* (fields) */
    float clip,
    const int64_t *row,       /* (codes, n), of the two below */
    const float *code_value,  /* (., columns) */
    const float *code_square, /* (.) */
    const float *start,       /* (columns), the biases */
    float share,              /* of the factorisation machine's sum of products */
    float *work,              /* (2 + ROWS, columns) */
    float *hidden,            /* out (n, units), rectified */
    float *logit) {           /* out (n) */
  float *base = work, *same = work + columns, *sums = work + 2 * columns;
  for (int64_t first = 0; first < n; first += ROWS) {
    const int rows = (int)(n - first < ROWS ? n - first : ROWS);
    float squares[ROWS] = {0};
    memcpy(base, start, (size_t)columns * sizeof(float));
    memset(sums, 0, (size_t)(rows * columns) * sizeof(float));
    for (int64_t f = 0; f < fields; f++) {
      const float *x = number + f * n + first, *k = knot + f * knots, *p = per_gap + f * (knots - 1);
      const float *at_knots = value + f * knots * columns, usual = majority(x, rows);
      float part;
      const float *left = at_knots + between(usual, k, p, knots, &part) * columns;
      for (int64_t c = 0; c < columns; c++) {
        same[c] = left[c] + part * (left[c + columns] - left[c]);
        base[c] += same[c];
      }
      for (int i = 0; i < rows; i++) {
        float v = (x[i] - mean[f]) * per_scale[f];
        v = v < -clip ? -clip : v > clip ? clip : v;
        squares[i] += v * v * square[f];
      }
      for (int i = 0; i < rows; i++) {
        if (x[i] == usual) continue;
        float *sum = sums + i * columns;
        left = at_knots + between(x[i], k, p, knots, &part) * columns;
        for (int64_t c = 0; c < columns; c++) sum[c] += left[c] + part * (left[c + columns] - left[c]) - same[c];
      }
    }
    for (int64_t f = 0; f < codes; f++) {
      const int64_t *r = row + f * n + first;
      int differ = 0;
      for (int i = 1; i < rows; i++) differ |= r[i] != r[0];
      if (!differ)
        for (int64_t c = 0; c < columns; c++) base[c] += code_value[r[0] * columns + c];
      for (int i = 0; i < rows; i++) {
        squares[i] += code_square[r[i]];
        if (!differ) continue;
        const float *of_code = code_value + r[i] * columns;
        for (int64_t c = 0; c < columns; c++) sums[i * columns + c] += of_code[c];
      }
    }
    for (int i = 0; i < rows; i++) {
      float *sum = sums + i * columns, products = 0;
      for (int64_t c = 0; c < columns; c++) sum[c] += base[c];
      for (int64_t c = 0; c < units; c++) hidden[(first + i) * units + c] = sum[c] > 0 ? sum[c] : 0;
      for (int64_t c = units; c < units + vectors; c++) products += sum[c] * sum[c];
      logit[first + i] = sum[units + vectors] + share * (products - squares[i]);
    }
  }
}

/* A page and what is said of it in one number: more is better, and of equals the first page is. */
INLINE uint64_t key_of(float value, int64_t page) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return (uint64_t)bits << 32 | (UINT32_MAX - (uint32_t)page);
}

INLINE int64_t page_of(uint64_t key) { return UINT32_MAX - (uint32_t)key; }

/* Put the k largest of n different keys first, in descending order (quicksort that leaves the rest alone). */
static void best_first(uint64_t *key, int64_t n, int64_t k) {
  while (n > 16) {
    const uint64_t a = key[0], b = key[n / 2], c = key[n - 1];
    const uint64_t pivot = a > b ? (b > c ? b : a > c ? c : a) : (a > c ? a : b > c ? c : b);
    int64_t i = 0, j = n - 1;
    while (i <= j) {
      while (key[i] > pivot) i++;
      while (key[j] < pivot) j--;
      if (i <= j) {
        const uint64_t moved = key[i];
        key[i++] = key[j];
        key[j--] = moved;
      }
    }
    best_first(key, j + 1, k);
    if (k <= i) return;
    key += i, n -= i, k -= i;
  }
  for (int64_t i = 1; i < n; i++) {
    const uint64_t moved = key[i];
    int64_t j = i;
    for (; j && key[j - 1] < moved; j--) key[j] = key[j - 1];
    key[j] = moved;
  }
}

/* The keys of the k largest positive values, best first; returns how many there are. key has room for
   GATHERED + k + 16 of them. */
INLINE int64_t best_values(const float *value, int64_t pages, int64_t k, uint64_t *key) {
  int64_t n = 0;
  float least = 0;
  for (int64_t first = 0; first < pages && k; first += 16) {
    const int64_t stop = first + 16 < pages ? first + 16 : pages;
    int any = 0;
    for (int64_t p = first; p < stop; p++) any |= value[p] > least;
    if (!any) continue;
    for (int64_t p = first; p < stop; p++)
      if (value[p] > least) key[n++] = key_of(value[p], p);
    if (n >= GATHERED + k) {
      best_first(key, n, k);
      n = k;
      /* What equals it comes later in the catalogue. */
      least = value[page_of(key[k - 1])];
    }
  }
  best_first(key, n, k);
  return n < k ? n : k;
}

/* The first stage of requests: see retrieval.Retriever.shortlist, whose numbers these are, bit by bit.
   Returns the number of candidates of all requests. */
WIDEST int64_t shortlist(
    int64_t batch, int64_t pages, int64_t scores, int64_t sources,
    int64_t lists, const int64_t *bound, /* (lists + 1), columns of the next two */
    const int32_t *index, const float *listed, /* (pages + 1, bound[lists]) */
    const int64_t *plane,                      /* (lists, 4): of the last page, the one before, the history
                                                  and the latest pages; -1 for none */
    int64_t length, const int32_t *history,    /* (batch, length), -1 pads */
    const float *history_weight, int64_t latest, const float *latest_weight,
    int64_t planes, const int64_t *dense, /* (planes), which are given */
    const float *const *given,            /* (planes) of (batch, pages) */
    const float *opened,                  /* (batch, pages) */
    const double *newness,                /* (pages) */
    const uint8_t *allowed,               /* (batch, pages) */
    const int64_t *quota,                 /* (sources) */
    int64_t most,                         /* candidates of a request, beside those that are kept already */
    uint8_t *kept,                        /* (batch, pages), in and work */
    int64_t room,                         /* columns of what follows */
    int32_t *row, int32_t *page, int32_t *source, float *fused, int32_t *rank, /* (room), rank (sources, room) */
    float *said, float *best,             /* (scores, room), (scores, batch) */
    char *work) { /* see shortlists.CompiledShortlist */
  const int64_t entries = bound[lists];
  int64_t longest = most, found = 0;
  for (int64_t s = 0; s < sources; s++) longest = quota[s] > longest ? quota[s] : longest;
  double *sum = (double *)work;
  uint64_t *key = (uint64_t *)(sum + pages);
  int64_t *named = (int64_t *)(key + GATHERED + longest + 16);
  float *all = (float *)(named + sources), *total = all + scores * pages;
  int32_t *number = (int32_t *)(total + pages), *touched = number + pages, *proposed = touched + pages;
  memset(number, 0, (size_t)pages * sizeof(int32_t));
  for (int64_t b = 0; b < batch; b++) {
    const uint8_t *may = allowed + b * pages;
    const int32_t *past = history + b * length;
    uint8_t *stays = kept + b * pages;
    memset(all, 0, (size_t)(scores * pages) * sizeof(float));
    float popular = 1;
    for (int64_t p = 0; p < pages; p++) popular = opened[b * pages + p] > popular ? opened[b * pages + p] : popular;
    for (int64_t p = 0; p < pages; p++) {
      const float often = 1.0f + opened[b * pages + p] / popular;
      total[p] = may[p] ? (float)(1e-6 * ((double)often + 1e-3 * newness[p])) : 0.0f;
    }
    for (int64_t d = 0; d < planes; d++) {
      const float *from = given[d] + b * pages;
      float *to = all + dense[d] * pages, largest = 0;
      for (int64_t p = 0; p < pages; p++) {
        to[p] = may[p] ? from[p] : 0.0f;
        largest = to[p] > largest ? to[p] : largest;
      }
      best[dense[d] * batch + b] = largest;
    }
    for (int64_t l = 0; l < lists; l++) {
      const int64_t begin = bound[l], end = bound[l + 1];
      for (int64_t which = 0; which < 4; which++) {
        const int64_t q = plane[l * 4 + which];
        if (q < 0) continue;
        float *to = all + q * pages, largest = 0;
        if (which < 2) {
          if (which < length && past[which] >= 0) {
            const int64_t at = past[which] * entries;
            for (int64_t e = at + begin; e < at + end; e++) {
              const int32_t p = index[e];
              if (listed[e] == 0 || !may[p]) continue;
              to[p] = listed[e];
              largest = to[p] > largest ? to[p] : largest;
            }
          }
        } else {
          const float *weight = which == 2 ? history_weight : latest_weight;
          const int64_t size = which == 2 || latest > length ? length : latest;
          int64_t n = 0;
          for (int64_t j = 0; j < size; j++) {
            if (past[j] < 0) continue;
            const int64_t at = past[j] * entries;
            for (int64_t e = at + begin; e < at + end; e++) {
              const float more = listed[e] * weight[j];
              const int32_t p = index[e];
              if (more == 0 || !may[p]) continue;
              if (number[p] != -2) {
                number[p] = -2;
                sum[p] = 0;
                touched[n++] = p;
              }
              sum[p] += more;
            }
          }
          for (int64_t i = 0; i < n; i++) {
            const int32_t p = touched[i];
            number[p] = -1;
            to[p] = (float)sum[p];
            largest = to[p] > largest ? to[p] : largest;
          }
        }
        best[q * batch + b] = largest;
      }
    }
    for (int64_t s = 0; s < sources; s++) {
      named[s] = best_values(all + s * pages, pages, quota[s], key);
      for (int64_t i = 0; i < named[s]; i++) {
        const int64_t p = page_of(key[i]);
        proposed[s * longest + i] = (int32_t)p;
        total[p] += 1.0f / (60.0f + (float)i);
      }
    }
    const int64_t chosen = best_values(total, pages, most, key), first = found;
    for (int64_t i = 0; i < chosen; i++) stays[page_of(key[i])] = 1;
    for (int64_t p = 0; p < pages; p++) {
      number[p] = -1;
      if (!stays[p]) continue;
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
    }
    for (int64_t i = first; i < found; i++) {
      int32_t least = INT32_MAX;
      for (int64_t s = 0; s < sources; s++) {
        const int32_t at = rank[s * room + i];
        if (at < quota[s] && at < least) least = at, source[i] = (int32_t)s;
      }
    }
    for (int64_t q = 0; q < scores; q++)
      for (int64_t i = first; i < found; i++) said[q * room + i] = all[q * pages + page[i]];
  }
  return found;
}
