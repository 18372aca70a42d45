"use strict";
// Answers with the same formulas and words as `loadtest capacity`, which are data: see loadtest/src/model.
(() => {
  const section = document.getElementById("capacity");
  const model = JSON.parse(section.querySelector("script[type='application/json']").textContent);
  const inputs = new Map(model.inputs.map((input) => [input.id, input]));
  const asked = new Map(model.inputs.map((input) => [input.id, input.default]));

  // ---- Numbers as text.

  const fixed = (value, decimals) => {
    const scale = 10 ** decimals;
    const number = Math.round(Math.abs(value) * scale);
    const whole = String(Math.floor(number / scale)).replace(/\B(?=(\d{3})+$)/g, ",");
    const sign = value < 0 && number > 0 ? "-" : "";
    return sign + whole + (decimals > 0 ? "." + String(number % scale).padStart(decimals, "0") : "");
  };
  const significant = (value) => {
    const size = Math.abs(value);
    if (size >= 99.95) return fixed(value, 0);
    if (size >= 9.995) return fixed(value, 1);
    if (size >= 0.0995 || size === 0) return fixed(value, 2);
    return fixed(value, size >= 0.000995 ? 4 : 6);
  };
  const trimmed = (text) => (text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text);
  const few = (value) => {
    if (value > 0 && value < 0.05) return "<0.1";
    return fixed(value, value < 99.95 ? 1 : 0);
  };
  const scaled = (value, units) => {
    let step = 0;
    while (Math.abs(value) >= 999.5 && step + 1 < units.length) {
      value /= 1e3;
      step += 1;
    }
    return (step === 0 ? fixed(value, 0) : trimmed(significant(value))) + units[step];
  };
  const duration = (seconds) => {
    const size = Math.abs(seconds);
    const [value, unit] =
      size === 0 ? [0, "s"]
      : size < 0.0009995 ? [seconds * 1e6, "µs"]
      : size < 0.9995 ? [seconds * 1e3, "ms"]
      : size < 120 ? [seconds, "s"]
      : size < 7200 ? [seconds / 60, "min"]
      : size < 172800 ? [seconds / 3600, "h"]
      : [seconds / 86400, "days"];
    return trimmed(significant(value)) + " " + unit;
  };
  const units = {
    cores: few,
    count: (value) => fixed(value, 0),
    per_second: (value) => trimmed(significant(value)) + "/s",
    bytes: (value) => scaled(value, [" B", " kB", " MB", " GB", " TB", " PB"]),
    bits_per_second: (value) => scaled(value, [" bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s"]),
    seconds: duration,
    milliseconds: (value) => duration(value / 1e3),
    microseconds: (value) => duration(value / 1e6),
    share: (value) => trimmed(fixed(value * 100, 1)) + " %",
    plain: (value) => trimmed(significant(value)),
  };
  const written = (value, unit) => (Number.isFinite(value) ? units[unit](value) : "–");
  const asText = (input, value) => (input.zero !== null && value === 0 ? input.zero : written(value, input.unit));
  const listed = (names) =>
    names.length < 2 ? names.join("") : names.slice(0, -1).join(", ") + " and " + names[names.length - 1];

  // ---- Text as numbers: "250k", "1.5 M", "15 min", "60 %", and whatever is shown.

  const scales = {
    per_second: { "": 1, k: 1e3, m: 1e6, g: 1e9 },
    count: { "": 1, k: 1e3, m: 1e6, g: 1e9 },
    bytes: { "": 1, b: 1, k: 1e3, kb: 1e3, m: 1e6, mb: 1e6, g: 1e9, gb: 1e9, t: 1e12, tb: 1e12 },
    bits_per_second: { "": 1, bit: 1, k: 1e3, kbit: 1e3, m: 1e6, mbit: 1e6, g: 1e9, gbit: 1e9, tbit: 1e12 },
    seconds: { "": 1, "µs": 1e-6, us: 1e-6, ms: 1e-3, s: 1, m: 60, min: 60, h: 3600, d: 86400, days: 86400 },
    milliseconds: { "": 1, "µs": 1e-3, us: 1e-3, ms: 1, s: 1e3 },
    share: { "": 1, "%": 0.01 },
  };
  const parsed = (input, text) => {
    const plain = text.trim().toLowerCase().replaceAll(",", "");
    if (input.zero !== null && (plain === "" || plain === input.zero)) return 0;
    const parts = /^(\d+\.?\d*|\.\d+)\s*([a-zµ%]*)(\/s)?$/.exec(plain);
    const scale = parts && scales[input.unit][parts[2]];
    const value = scale ? Number(parts[1]) * scale : undefined;
    return value >= input.min && value <= input.max ? value : undefined;
  };

  // ---- Formulas: a number, a name, or a list that begins with an operation.

  const operations = {
    "+": (a, b) => a + b,
    "-": (a, b) => a - b,
    "*": (a, b) => a * b,
    "/": (a, b) => a / b,
    min: Math.min,
    max: Math.max,
    ceil: Math.ceil,
    ">": (a, b) => (a > b ? 1 : 0),
  };
  // A curve of [x, value, low, high]: straight between its points and flat beyond them.
  const along = (knots, x, end) => {
    const after = knots.findIndex((knot) => knot[0] > x);
    if (after === 0) return knots[0][end];
    if (after < 0) return knots[knots.length - 1][end];
    const [left, right] = [knots[after - 1], knots[after]];
    return left[end] + (right[end] - left[end]) * ((x - left[0]) / (right[0] - left[0]));
  };
  const valueOf = (formula, scope) => {
    if (typeof formula === "number") return formula;
    if (typeof formula === "string") return scope.names.get(formula);
    const [operation, ...parts] = formula;
    if (operation === "at") return along(scope.curves.get(parts[0]), valueOf(parts[1], scope), scope.end);
    if (operation === "if") return valueOf(parts[valueOf(parts[0], scope) !== 0 ? 1 : 2], scope);
    return operations[operation](...parts.map((part) => valueOf(part, scope)));
  };

  // The columns of a curve's points, and the ends of a figure's interval.
  const [VALUE, CHEAP, DEAR] = [1, 2, 3];
  const endOf = (figure, end) => {
    const low = (end === CHEAP) !== figure.dear_is_low;
    return (end === VALUE ? null : low ? figure.low : figure.high) ?? figure.value;
  };
  const evaluated = (strategy, end) => {
    const names = new Map(asked);
    for (const [name, value] of Object.entries(strategy.structure)) names.set(name, value);
    for (const figure of [...model.common, ...strategy.figures]) names.set(figure.id, endOf(figure, end));
    const scope = { names, curves: new Map(strategy.curves.map((curve) => [curve.id, curve.table])), end };
    for (const formula of model.formulas) names.set(formula.id, valueOf(formula.formula, scope));
    return scope;
  };
  const unitOf = (id, strategy) =>
    [...model.formulas, ...model.common, ...strategy.figures].find((one) => one.id === id)?.unit ?? "plain";
  const filled = (template, of) => template.replace(/\{(\w+)\}/g, (_, id) => of(id));

  const range = (from, to, unit) => (from < to ? `${written(from, unit)} to ${written(to, unit)}` : written(from, unit));
  const beyond = (strategy) => {
    const said = [];
    const [rate, busy] = [asked.get("rate"), asked.get("utilisation")];
    const [from, to] = strategy.rates;
    if (rate < from || rate > to) said.push(`${written(rate, "per_second")} (${range(from, to, "per_second")})`);
    const parts = strategy.curves.filter((curve) => curve.told && curve.source === "measured").flatMap((curve) => {
      const [first, last] = [curve.table[0][0], curve.table[curve.table.length - 1][0]];
      return busy < first || busy > last ? [`${curve.label} (${range(first, last, "share")})`] : [];
    });
    if (parts.length > 0) said.push(`${written(busy, "share")} of a core for the ${listed(parts)}`);
    return said.length === 0 ? ""
      : `Outside of what was measured: ${said.join("; ")}. There it is taken to cost what it cost at the nearest load.`;
  };

  const answered = (strategy) => {
    const scopes = [VALUE, CHEAP, DEAR].map((end) => evaluated(strategy, end));
    const figures = new Map(model.formulas.map(({ id }) => {
      const values = scopes.map((scope) => scope.names.get(id));
      return [id, { value: values[0], low: Math.min(...values), high: Math.max(...values) }];
    }));
    const told = (id) => {
      const value = scopes[0].names.get(id);
      return inputs.has(id) ? asText(inputs.get(id), value) : written(value, unitOf(id, strategy));
    };
    const holds = (condition) => valueOf(condition, scopes[0]) !== 0;
    return {
      name: strategy.name,
      figures,
      out: model.words.requirements.filter((one) => holds(one.fails)).map((one) => filled(one.told, told)),
      costs: model.words.costs.filter((one) => holds(one.when)).map((one) => filled(one.told, told)).join(", "),
      beyond: beyond(strategy),
    };
  };
  const whichAreLeft = (answers) => {
    const pieces = model.words.asked.filter((piece) => valueOf(piece.when, { names: asked }) !== 0);
    const told = (id) => asText(inputs.get(id), asked.get(id));
    const left = answers.filter((one) => one.out.length === 0).map((one) => one.name);
    const said =
      left.length === 0 ? "none of the strategies is left"
      : left.length < answers.length && left.length === 1 ? `only ${left[0]} is left`
      : left.length < answers.length ? `${listed(left)} are left`
      : left.length === 1 ? `${left[0]} is left`
      : `all strategies are left: ${listed(left)}`;
    return `At ${pieces.map((piece) => filled(piece.told, told)).join(", ")}, ${said}.`;
  };
  const fewest = (answers) => {
    const cores = (one) => one.figures.get("cores");
    const left = answers.filter((one) => one.out.length === 0).sort((a, b) => cores(a).value - cores(b).value);
    if (left.length < 2) return "";
    const told = (one) => {
      const { value, low, high } = cores(one);
      return `${one.name} (${few(value)} [${few(low)}, ${few(high)}])`;
    };
    const near = left.filter((one) => cores(one).low <= cores(left[0]).high).map(told);
    return near.length === 1
      ? `${near[0]} takes the fewest cores.`
      : `Which takes the fewest cores cannot be told: ${listed(near)}.`;
  };

  // ---- What is shown. Every element is there already, and only filled.

  const part = (index, selector) => section.querySelector(`.take[data-strategy="${index}"] ${selector}`);
  const percent = (share) => `${(100 * share).toFixed(3)}%`;
  const show = () => {
    const answers = model.strategies.map(answered);
    const say = (what, text) => {
      section.querySelector(`.answer [data-said="${what}"]`).textContent = text;
    };
    say("left", whichAreLeft(answers));
    say("fewest", fewest(answers));
    const cores = answers.map((one) => one.figures.get("cores"));
    const median = cores.map(({ value }) => value).sort((a, b) => a - b)[Math.floor(cores.length / 2)];
    // A bar that goes on fades at its end: one that is far from most would make theirs too short.
    const full = Math.min(Math.max(...cores.map(({ high }) => high)), 4 * median);
    answers.forEach((one, index) => {
      const cores = one.figures.get("cores");
      for (const element of section.querySelectorAll(`[data-strategy="${index}"]`)) {
        element.classList.toggle("out", one.out.length > 0);
        element.classList.toggle("cut", element.matches(".take") && cores.high > full);
      }
      for (const bar of section.querySelectorAll(`.take[data-strategy="${index}"] [data-part]`)) {
        const value = one.figures.get(bar.dataset.part).value;
        bar.style.width = percent(value / full);
        bar.title = bar.title.replace(/:.*/, `: ${few(value)} cores`);
      }
      const whisker = part(index, ".whisker");
      whisker.style.left = percent(cores.low / full);
      whisker.style.width = percent((cores.high - cores.low) / full);
      part(index, "[data-said='sum']").textContent = few(cores.value);
      part(index, "[data-said='costs']").textContent =
        one.out.length > 0 ? `Out: ${one.out.join("; and ")}.` : `${one.costs}.`;
      part(index, "[data-said='beyond']").textContent = one.beyond;
    });
    for (const { id, unit } of model.formulas) {
      const row = section.querySelector(`[data-row="${id}"]`);
      if (row === null) continue;
      row.hidden = answers.every((one) => one.figures.get(id).value === 0);
      row.querySelectorAll("[data-figure]").forEach((cell, index) => {
        const { value, low, high } = answers[index].figures.get(id);
        cell.textContent = written(value, unit);
        cell.title = `${written(low, unit)} to ${written(high, unit)}`;
        Object.assign(cell.dataset, { value, low, high });
      });
    }
    const changed = model.inputs.filter((input) => asked.get(input.id) !== input.default);
    const option = (input) => {
      const value = asked.get(input.id);
      if (input.stops.length === 0) return ` --${input.option}`;
      // Times are whole numbers there.
      const whole = input.suffix === "" || Number.isInteger(value);
      return ` --${input.option} ${whole ? `${value}${input.suffix}` : `${Math.round(value * 1e6)}us`}`;
    };
    section.querySelector(".command code").textContent =
      `loadtest capacity results.json${changed.map(option).join("")}`;
    const state = changed.map((input) => `${input.id}=${asked.get(input.id)}`).join("&");
    history.replaceState(null, "", state ? `#capacity?${state}` : location.pathname + location.search);
  };

  // ---- Controls.

  const field = (input) => section.querySelector(`[data-input="${input.id}"]`);
  const slider = (input) => section.querySelector(`[data-slider="${input.id}"]`);
  const set = (input, value) => {
    asked.set(input.id, value);
    if (input.stops.length === 0) {
      field(input).checked = value !== 0;
      return;
    }
    const text = asText(input, value);
    field(input).value = text;
    field(input).removeAttribute("aria-invalid");
    const distance = (stop) => Math.abs(Math.log((stop + 1e-3) / (value + 1e-3)));
    const nearest = input.stops.reduce(
      (best, stop, index) => (distance(stop) < distance(input.stops[best]) ? index : best), 0);
    slider(input).value = nearest;
    slider(input).setAttribute("aria-valuetext", text);
  };
  for (const input of model.inputs) {
    if (input.stops.length === 0) {
      field(input).addEventListener("change", () => {
        set(input, field(input).checked ? 1 : 0);
        show();
      });
      continue;
    }
    slider(input).addEventListener("input", () => {
      set(input, input.stops[Number(slider(input).value)]);
      show();
    });
    field(input).addEventListener("change", () => {
      const value = parsed(input, field(input).value);
      if (value === undefined) {
        field(input).setAttribute("aria-invalid", "true");
        return;
      }
      set(input, value);
      show();
    });
  }
  section.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

  // A link to the page can ask.
  for (const [id, text] of new URLSearchParams(location.hash.split("?")[1] ?? "")) {
    const input = inputs.get(id);
    const value = Number(text);
    if (input && text !== "" && value >= input.min && value <= input.max) asked.set(id, value);
  }
  for (const input of model.inputs) set(input, asked.get(input.id));
  section.classList.add("live");
  show();
  if (location.hash.startsWith("#capacity?")) section.scrollIntoView();
})();
