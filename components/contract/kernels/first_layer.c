#include "common.h"

/* Candidates handled at a time: their sums stay in the first cache. */
#define ROWS 64

/* Which of a block's numbers has a value that many have, if there is one: the most frequent of four. */
INLINE int usual(const float *value) {
  int found = 0, most = 0;
  for (int guess = 0; guess < ROWS; guess += ROWS / 4) {
    int same = 0;
    for (int i = 0; i < ROWS; i++) same += value[i] == value[guess];
    if (same > most) most = same, found = guess;
  }
  return found;
}

/* Rows of whole vectors: columns is a multiple of 16. */
#define EACH_COLUMN                              \
  for (int64_t first = 0; first < columns; first += 16) \
    for (int64_t c = first; c < first + 16; c++)

INLINE void add(const float *restrict more, int64_t columns, float *restrict sum) {
  EACH_COLUMN sum[c] += more[c];
}

/* So far on from one row to the next. */
INLINE void line(const float *restrict row, float part, int64_t columns, float *restrict found) {
  EACH_COLUMN found[c] = row[c] + part * (row[c + columns] - row[c]);
}

/* The same, added to a sum, instead of another. */
INLINE void add_line(
    const float *restrict row, float part, const float *restrict other, int64_t columns, float *restrict sum) {
  EACH_COLUMN sum[c] += row[c] + part * (row[c + columns] - row[c]) - other[c];
}

/* What FirstLayer holds and is asked; see first_layer. */
struct layer {
  int64_t n, fields, knots, codes, units, vectors, columns;
  const float *number, *knot, *per_gap, *value, *mean, *per_scale, *square;
  float clip;
  const int64_t *row;
  const float *code_value, *code_square, *start;
  float share, *hidden, *logit;
};

/* A block of candidates, the first of which is given. */
INLINE void block(const struct layer *layer, int64_t first, int64_t columns, float *work) {
  const int64_t n = layer->n, fields = layer->fields, knots = layer->knots;
  const int64_t units = layer->units, vectors = layer->vectors;
  const float clip = layer->clip;
  float *base = work, *same = work + columns, *sums = work + 2 * columns;
  const int rows = (int)(n - first < ROWS ? n - first : ROWS);
  float squares[ROWS] = {0};
  memcpy(base, layer->start, (size_t)columns * sizeof(float));
  memset(sums, 0, (size_t)(rows * columns) * sizeof(float));
  for (int64_t f = 0; f < fields; f++) {
    const float *k = layer->knot + f * knots, *p = layer->per_gap + f * (knots - 1);
    const float *number = layer->number + f * n + first, *at_knots = layer->value + f * knots * columns;
    const float mean = layer->mean[f], per_scale = layer->per_scale[f], square = layer->square[f];
    /* The block's numbers: between which knots each lies, and how far on. A short block is filled up. */
    float x[ROWS], part[ROWS];
    int32_t at[ROWS] = {0};
    for (int i = 0; i < ROWS; i++) x[i] = number[i < rows ? i : 0];
    for (int64_t j = 1; j < knots - 1; j++)
      for (int i = 0; i < ROWS; i++) at[i] += x[i] >= k[j];
    for (int i = 0; i < ROWS; i++) {
      const float t = (x[i] - k[at[i]]) * p[at[i]];
      part[i] = t < 0 ? 0 : t > 1 ? 1 : t;
    }
    for (int i = 0; i < ROWS; i++) {
      const float v = (x[i] - mean) * per_scale, w = v < -clip ? -clip : v > clip ? clip : v;
      squares[i] += w * w * square;
    }
    const int u = usual(x);
    line(at_knots + at[u] * columns, part[u], columns, same);
    add(same, columns, base);
    /* Who differs is written down first: it cannot be guessed. */
    int32_t other[ROWS];
    int others = 0;
    for (int i = 0; i < rows; i++) {
      other[others] = i;
      others += x[i] != x[u];
    }
    for (int j = 0; j < others; j++) {
      const int i = other[j];
      add_line(at_knots + at[i] * columns, part[i], same, columns, sums + i * columns);
    }
  }
  for (int64_t f = 0; f < layer->codes; f++) {
    const int64_t *r = layer->row + f * n + first;
    int differ = 0;
    for (int i = 1; i < rows; i++) differ |= r[i] != r[0];
    if (!differ) add(layer->code_value + r[0] * columns, columns, base);
    for (int i = 0; i < rows; i++) {
      squares[i] += layer->code_square[r[i]];
      if (differ) add(layer->code_value + r[i] * columns, columns, sums + i * columns);
    }
  }
  for (int i = 0; i < rows; i++) {
    float *sum = sums + i * columns, *to = layer->hidden + (first + i) * units, products = 0;
    add(base, columns, sum);
    for (int64_t c = 0; c < units; c++) to[c] = sum[c] > 0 ? sum[c] : 0;
    for (int64_t c = units; c < units + vectors; c++) products += sum[c] * sum[c];
    layer->logit[first + i] = sum[units + vectors] + layer->share * (products - squares[i]);
  }
}

/* The columns of the settings that ship are known to the compiler: its loops over them need no end. */
#define USUAL_COLUMNS 144

WIDEST static void block_of(const struct layer *layer, int64_t first, float *work) {
  if (layer->columns == USUAL_COLUMNS)
    block(layer, first, USUAL_COLUMNS, work);
  else
    block(layer, first, layer->columns, work);
}

/* What the linear parts of the ranker's network make of n candidates: see first_layer.FirstLayer. A number adds to
   each column what lies between its values at two knots. What most candidates of a block share, as what the
   request says of itself and what a source says of pages that it does not list, is added once. */
void first_layer(
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
    int64_t threads,
    float *work,              /* (threads, 2 + ROWS, columns) */
    float *hidden,            /* out (n, units), rectified */
    float *logit) {           /* out (n) */
  const struct layer layer = {
      n,         fields, knots, codes,      units,       vectors, columns, number, knot,   per_gap, value, mean,
      per_scale, square, clip,  row,        code_value,  code_square, start, share, hidden, logit};
#pragma omp parallel for num_threads((int)threads) schedule(dynamic) if (n > ROWS)
  for (int64_t first = 0; first < n; first += ROWS)
    block_of(&layer, first, work + THREAD * (2 + ROWS) * columns);
}
