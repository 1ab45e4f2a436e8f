import { Heading } from "../parts/heading.tsx";
import { href } from "../route.ts";

export function NoPage() {
  return (
    <>
      <Heading title="No such page" />
      <p>
        The console has no page at this address. <a href={href(["calls"])}>See all calls</a>.
      </p>
    </>
  );
}
