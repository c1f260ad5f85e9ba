// Marks tables of long texts, and names the column of each of their cells (site.css).
document$.subscribe(() => {
  for (const table of document.querySelectorAll('.md-typeset table:not([class])')) {
    const heads = [...table.querySelectorAll('thead th')].map((th) => th.textContent.trim());
    const rows = [...table.querySelectorAll('tbody tr')];
    if (!rows.some((row) => [...row.cells].some((cell) => cell.textContent.length > 60))) continue;
    table.dataset.cards = '';
    for (const row of rows) {
      [...row.cells].forEach((cell, column) => {
        if (heads[column]) cell.dataset.head = heads[column];
      });
    }
  }
});
