// Counts the answers of a listening test, and prints the share of generated recordings that were chosen as real.
(() => {
  const form = document.getElementById("pairs");
  const bytes = form.dataset.key.match(/../g).map((byte) => parseInt(byte, 16));
  const show = document.getElementById("show");

  // Wilson's interval of a proportion at 95 %, as in musicgen_cls.metrics.intervals.wilson
  function wilson(hits, n) {
    const z2 = 1.959963984540054 ** 2;
    const p = hits / n;
    const centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    const half = (Math.sqrt(z2) * Math.sqrt((p * (1 - p)) / n + z2 / (4 * n * n))) / (1 + z2 / n);
    return [Math.max(0, centre - half), Math.min(1, centre + half)];
  }

  const answers = () => bytes.map((_, number) => form.elements[`pair${number + 1}`].value);
  const percent = (share) => (100 * share).toFixed(1);

  form.addEventListener("change", () => {
    const given = answers().filter((answer) => answer).length;
    document.getElementById("count").textContent = `${given} of ${bytes.length} answered`;
    show.disabled = given < bytes.length;
  });

  // one recording at a time
  form.addEventListener("play", ({ target }) => {
    for (const other of form.querySelectorAll("audio")) if (other !== target) other.pause();
  }, true);

  show.addEventListener("click", () => {
    const fooled = answers().filter((answer, number) => (answer === "A") !== (bytes[number] % 2 === 1)).length;
    const [low, high] = wilson(fooled, bytes.length);
    for (const choice of form.querySelectorAll("input")) choice.disabled = true;
    show.disabled = true;
    document.getElementById("result").textContent =
      `Fooled in ${fooled} of ${bytes.length} pairs: ${percent(fooled / bytes.length)} % ` +
      `[${percent(low)}, ${percent(high)}]. Music of ${form.dataset.name} was chosen as real. A random guess has 50 %.`;
  });
})();
