#include "common.h"

/* What a catalogue says of its pages, and how features are counted: see features.FeatureBuilder. */
struct catalogue {
  int64_t pages, topics, formats, labels, needed; /* needed: most prerequisites of a page */
  int64_t scores, sources, raws, counted;
  int64_t rates;           /* features that are left out here */
  int64_t near, high;      /* latest pages whose distance counts; ranks below this agree */
  int64_t day, week, month; /* scores: how often a page was opened lately */
  int64_t nowhere;         /* the place of a page that is not there */
  double gap, decay, steep;
  const int64_t *raw, *count; /* (raws), (counted): which scores */
  const int32_t *topic, *format; /* (pages) */
  const float *duration;         /* (pages) */
  const double *published;       /* (pages), NaN where unknown */
  const int64_t *label_start;    /* (pages + 1), of the two below */
  const int64_t *label;
  const float *label_weight;
  const int64_t *needs;       /* (pages), prerequisites */
  const int32_t *needed_page; /* (pages, needed), filled up with pages */
  const uint8_t *mandatory;   /* (roles, pages) */
  const float *log1p_of;      /* (pages + 1), of whole numbers */
};

INLINE float log1p_of(const struct catalogue *c, int64_t number) {
  return number <= c->pages ? c->log1p_of[number] : log1pf((float)number);
}

#define DAY 86400.0
#define KINDS 3
#define EACH for (int64_t i = first; i < stop; i++)

/* Bytes that the next function works in. */
int64_t features_work(const struct catalogue *c) {
  return 4 * (c->topics + c->formats) + (8 + 4) * KINDS * c->labels + 8 * c->labels + c->pages + 1;
}

/* What is never positive or not known counts as 0. */
INLINE float size_of(double value) { return (float)log1p(value > 0 ? value : 0); }

/* Unit vectors of the labels of the last page, the one before it and the decayed history; returns how many
   labels have a part in them, and which. sum is 0 everywhere, before and after. */
INLINE int64_t label_vectors(
    const struct catalogue *c, const int32_t *past, int64_t length, double *sum, float *unit, int64_t *touched) {
  double norm[KINDS] = {0};
  int64_t n = 0;
  for (int64_t j = 0; j < length; j++) {
    if (past[j] < 0) continue;
    const double weight[KINDS] = {j == 0, j == 1, pow(c->decay, (double)j)};
    for (int64_t e = c->label_start[past[j]]; e < c->label_start[past[j] + 1]; e++) {
      double *of_label = sum + KINDS * c->label[e];
      if (of_label[KINDS - 1] == 0) touched[n++] = c->label[e];
      for (int k = 0; k < KINDS; k++) of_label[k] += weight[k] * c->label_weight[e];
    }
  }
  for (int64_t i = 0; i < n; i++)
    for (int k = 0; k < KINDS; k++) norm[k] += sum[KINDS * touched[i] + k] * sum[KINDS * touched[i] + k];
  for (int k = 0; k < KINDS; k++) norm[k] = sqrt(norm[k]) > 1e-12 ? sqrt(norm[k]) : 1e-12;
  for (int64_t i = 0; i < n; i++)
    for (int k = 0; k < KINDS; k++) {
      unit[KINDS * touched[i] + k] = (float)(sum[KINDS * touched[i] + k] / norm[k]);
      sum[KINDS * touched[i] + k] = 0;
    }
  return n;
}

/* Features of n candidates, but for the rates of pages: features.NUMERIC and CATEGORICAL, in their order. */
WIDEST void features(
    const struct catalogue *c, int64_t n, int64_t batch, int64_t length, int64_t attributes,
    const int32_t *row, const int32_t *page, const int32_t *source, /* (n), rows ascending */
    int64_t stride, const float *said, const float *best, /* (scores, stride), (scores, batch) */
    const int32_t *rank,                                  /* (sources, stride) */
    const double *time, const int32_t *history, const double *history_time, /* (batch), (batch, length) twice */
    const int32_t *history_count, const double *tenure,                      /* (batch) */
    const int64_t *seen_bound, const int32_t *seen,                          /* (batch + 1), pages opened */
    const int64_t *attribute, const int64_t *role,                           /* (attributes, batch), (batch) */
    const double *opened_first,                                              /* (pages) */
    char *work,       /* features_work(c) bytes */
    float *number,    /* out (features, n) */
    int32_t *code) {  /* out (categories, n) */
  const int64_t pages = c->pages;
  double *sum = (double *)work;
  int64_t *touched = (int64_t *)(sum + KINDS * c->labels);
  float *unit = (float *)(touched + c->labels);
  int32_t *of_topic = (int32_t *)(unit + KINDS * c->labels), *of_format = of_topic + c->topics;
  uint8_t *opened = (uint8_t *)(of_format + c->formats);
  memset(work, 0, (size_t)features_work(c));
  opened[pages] = 1;
  for (int64_t b = 0, first = 0, stop = 0; b < batch; b++, first = stop) {
    while (stop < n && row[stop] == b) stop++;
    const int32_t *past = history + b * length;
    const double *when = history_time + b * length, now = time[b];
    float *to = number;

    for (int64_t s = 0; s < c->scores; s++, to += n) {
      const float *of = said + s * stride, most = best[s * batch + b] > 1e-12f ? best[s * batch + b] : 1e-12f;
      EACH {
        const float share = of[i] / most;
        to[i] = share > 1 ? 1 : share;
      }
    }
    for (int64_t s = 0; s < c->sources; s++, to += n)
      EACH to[i] = log1p_of(c, rank[s * stride + i]);
    for (int64_t s = 0; s < c->raws; s++, to += n)
      EACH {
        const float value = said[c->raw[s] * stride + i];
        to[i] = sqrtf(value > 0 ? value : 0);
      }
    for (int64_t s = 0; s < c->counted; s++, to += n)
      EACH to[i] = log1pf(said[c->count[s] * stride + i]);
    float *agreement = to, *fused = to + n;
    EACH agreement[i] = fused[i] = 0;
    for (int64_t s = 0; s < c->sources; s++)
      EACH {
        const int32_t at = rank[s * stride + i];
        agreement[i] += at < c->high;
        fused[i] += 1.0f / ((float)c->steep + (float)at);
      }
    to += 2 * n;
    const float *day = said + c->day * stride, *week = said + c->week * stride, *month = said + c->month * stride;
    EACH to[i] = logf((day[i] * 7 + 1) / (week[i] + 1));
    to += n;
    EACH to[i] = logf((week[i] * 30 / 7 + 1) / (month[i] + 1));
    to += n;

    EACH {
      const double published = c->published[page[i]], since = published == published ? published : opened_first[page[i]];
      to[i] = isfinite(since) ? size_of((now - since) / 3600) : 0;
    }
    to += n;
    EACH to[i] = opened_first[page[i]] >= now;
    to += n;
    EACH to[i] = c->duration[page[i]];
    to += (1 + c->rates) * n;

    /* How far a candidate stands from the latest pages in the catalogue, whose rows are in order. */
    EACH {
      float nearest = FLT_MAX;
      for (int64_t j = 0; j < c->near; j++) {
        const int known = j < length && past[j] >= 0;
        const int64_t step = page[i] - (known ? past[j] : c->nowhere);
        const float away = log1p_of(c, step < 0 ? -step : step);
        nearest = away < nearest ? away : nearest;
        if (j < 2) to[j * n + i] = !known || !step ? 0 : step < 0 ? -away : away;
      }
      to[2 * n + i] = nearest;
    }
    to += 3 * n;

    int64_t known = 0;
    for (int64_t j = 0; j < length; j++) {
      if (past[j] < 0) continue;
      known++, of_topic[c->topic[past[j]]]++, of_format[c->format[past[j]]]++;
    }
    const double pages_known = known ? (double)known : 1;
    const int32_t last = length ? past[0] : -1, last_topic = last < 0 ? -1 : c->topic[last];
    EACH to[i] = (float)(of_topic[c->topic[page[i]]] / pages_known);
    to += n;
    EACH to[i] = c->topic[page[i]] == last_topic;
    to += n;
    EACH to[i] = (float)(of_format[c->format[page[i]]] / pages_known);
    to += n;
    for (int64_t j = 0; j < length; j++)
      if (past[j] >= 0) of_topic[c->topic[past[j]]] = of_format[c->format[past[j]]] = 0;

    const int64_t labels = label_vectors(c, past, length, sum, unit, touched);
    EACH {
      double alike[KINDS] = {0};
      for (int64_t e = c->label_start[page[i]]; e < c->label_start[page[i] + 1]; e++)
        for (int k = 0; k < KINDS; k++) alike[k] += unit[KINDS * c->label[e] + k] * c->label_weight[e];
      for (int k = 0; k < KINDS; k++) to[k * n + i] = (float)alike[k];
    }
    to += KINDS * n;
    for (int64_t i = 0; i < labels; i++)
      for (int k = 0; k < KINDS; k++) unit[KINDS * touched[i] + k] = 0;

    for (int64_t i = seen_bound[b]; i < seen_bound[b + 1]; i++) opened[seen[i]] = 1;
    EACH {
      const int64_t needs = c->needs[page[i]];
      int64_t missing = 0;
      if (needs)
        for (int64_t e = 0; e < c->needed; e++) missing += !opened[c->needed_page[page[i] * c->needed + e]];
      to[i] = (float)needs;
      to[n + i] = needs ? (float)((double)(needs - missing) / (double)needs) : 1;
    }
    to += 2 * n;
    for (int64_t i = seen_bound[b]; i < seen_bound[b + 1]; i++) opened[seen[i]] = 0;
    EACH to[i] = c->mandatory[role[b] * pages + page[i]];
    to += n;

    /* Of the request alone; where there is no such visit, its distance is -1. */
    int64_t streak = 0;
    while (streak < length && past[streak] >= 0 && (streak ? when[streak - 1] : now) - when[streak] <= c->gap) streak++;
    const double of_day = fmod(now, DAY) < 0 ? fmod(now, DAY) + DAY : fmod(now, DAY);
    const double angle = of_day / DAY * 2 * 3.14159265358979323846;
    const float own[] = {
        size_of(history_count[b]),
        length > 0 && past[0] >= 0 ? size_of((now - when[0]) / 3600) : -1,
        length > 1 && past[1] >= 0 ? size_of((when[0] - when[1]) / 3600) : -1,
        size_of((double)streak),
        size_of(tenure[b]),
        (float)sin(angle),
        (float)cos(angle),
    };
    for (size_t f = 0; f < sizeof own / sizeof *own; f++, to += n) EACH to[i] = own[f];

    int32_t *of_code = code;
    EACH of_code[i] = page[i] + 1;
    of_code += n;
    EACH of_code[i] = c->topic[page[i]];
    of_code += n;
    EACH of_code[i] = c->format[page[i]];
    of_code += n;
    for (int64_t a = 0; a < attributes; a++, of_code += n) EACH of_code[i] = (int32_t)attribute[a * batch + b];
    const int64_t days = (int64_t)floor(now / DAY);
    const int32_t same[] = {
        (int32_t)(of_day / 3600) + 1,
        (int32_t)(((days + 3) % 7 + 7) % 7) + 1,
        last + 1,
        last_topic < 0 ? 0 : last_topic,
    };
    for (size_t f = 0; f < sizeof same / sizeof *same; f++, of_code += n) EACH of_code[i] = same[f];
    EACH of_code[i] = source[i] + 1;
  }
}
