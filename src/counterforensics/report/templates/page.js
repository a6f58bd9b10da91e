// Fold the tables and figures, and filter the tables. Without this script everything is shown.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const folds = all("details.fold");

  folds.forEach((fold) => { fold.open = fold.matches("[data-unfolded] > details:first-of-type"); });

  const openTarget = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const fold = target && target.closest("details");
    if (fold) { fold.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", openTarget);
  openTarget();

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details").filter((one) => !one.open);
    closed.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));

  const form = document.getElementById("filters");
  if (!form) return;
  const keys = all("select", form).map((choice) => choice.name);
  const counted = document.getElementById("filtered");
  const tables = all("#tables details.fold");
  const chosen = () => Object.fromEntries(keys.map((key) => [key, form.elements[key].value]));
  const agrees = (element, wanted) =>
    keys.every((key) => !wanted[key] || !(key in element.dataset) || element.dataset[key] === wanted[key]);

  const filterColumns = (table, wanted) => {
    all("th[data-judge], td[data-judge]", table).forEach((cell) => { cell.hidden = !agrees(cell, wanted); });
    all("[data-group]", table).forEach((group) => {
      const shown = all(`th[data-in="${group.dataset.group}"]`, table).filter((head) => !head.hidden).length;
      group.colSpan = Math.max(1, shown);
      group.hidden = shown === 0;
    });
  };

  const filterTable = (fold, wanted) => {
    const attacks = fold.dataset.attacks ? JSON.parse(fold.dataset.attacks) : [];
    const wrongAttack = wanted.attack && attacks.length > 0 && !attacks.includes(wanted.attack);
    let found = 0;
    all("table", fold).forEach((table) => {
      filterColumns(table, wanted);
      all("tbody", table).forEach((body) => {
        const rows = all("tr:not(.section)", body);
        rows.forEach((row) => { row.hidden = !agrees(row, wanted); });
        const shown = rows.filter((row) => !row.hidden).length;
        body.hidden = shown === 0;
        found += shown;
      });
    });
    fold.hidden = wrongAttack || found === 0;
  };

  const filter = () => {
    const wanted = chosen();
    tables.forEach((fold) => filterTable(fold, wanted));
    const shown = tables.filter((fold) => !fold.hidden).length;
    const active = keys.some((key) => wanted[key]);
    counted.textContent = active ? `${shown} of ${tables.length} tables hold such figures.` : "";
  };

  form.hidden = false;
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  all("[data-open]", form).forEach((button) => {
    button.addEventListener("click", () => tables.forEach((fold) => { fold.open = button.dataset.open === "yes"; }));
  });
})();
