import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";

interface Props {
  title: string;
  children: ComponentChildren;
  /** Left out for a dialog that comes back when it is closed. */
  onClose?: () => void;
}

/** A dialog over the page, which holds the focus while it is open. */
export function Dialog({ title, children, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close(); // gives the focus back
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onClose={onClose ?? (() => dialog.current?.showModal())}
    >
      <header>
        <h2 id={id}>{title}</h2>
        {onClose && (
          <button type="button" class="quiet" onClick={onClose}>
            Close
          </button>
        )}
      </header>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  children: ComponentChildren;
  /** What the button says that does it: a verb. */
  does: string;
  onConfirm: () => void;
  onClose: () => void;
}

/** Asks before something is done that cannot be undone, or that others notice. */
export function Confirm({ title, children, does, onConfirm, onClose }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      <p class="actions">
        <button type="button" onClick={onConfirm}>
          {does}
        </button>
        <button type="button" class="quiet" onClick={onClose} autofocus>
          Leave it
        </button>
      </p>
    </Dialog>
  );
}
