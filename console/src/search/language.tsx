/** How to write what is searched for. */

const TYPED: readonly (readonly [typed: string, finds: string])[] = [
  ["nha sĩ", "both words, wherever they stand in a message"],
  ["\"nha sĩ\"", "the words side by side"],
  ["nha -sĩ", "the first word without the second; instead of a word, a phrase"],
  ["dent*", "every word that begins so; it takes about ten times as long"],
];

export function Language() {
  return (
    <div class="language">
      <dl>
        {TYPED.map(([typed, finds]) => (
          <div key={typed}>
            <dt>
              <code>{typed}</code>
            </dt>
            <dd>{finds}</dd>
          </div>
        ))}
      </dl>
      <p>
        Capitals and accents do not matter: <code>da nang</code> finds <bdi lang="vi">Đà Nẵng</bdi>. Other forms of
        a word, other spellings, signs and emoji are not found. Thai, Lao, Khmer, Burmese, Japanese, Chinese and Korean need no spaces.
      </p>
    </div>
  );
}
