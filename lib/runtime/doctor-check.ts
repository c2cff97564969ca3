/** What a check of the doctor says, and how it is said in short. */

/** The result of one check. */
export interface DoctorCheck {
  readonly name: string;
  readonly ok: boolean;
  /** `required`: nothing runs without it; `lab`: tests and laboratory; `optional`: nice to have. */
  readonly needed: 'required' | 'lab' | 'optional';
  /** What is there, in words. */
  readonly found: string;
  /** What to do; empty when all is well. */
  readonly remedy: string;
}

/** All is well. */
export function good(name: string, needed: DoctorCheck['needed'], found: string): DoctorCheck {
  return { name, ok: true, needed, found, remedy: '' };
}

/** Something is lacking, and this brings it. */
export function bad(name: string, needed: DoctorCheck['needed'], found: string, remedy: string): DoctorCheck {
  return { name, ok: false, needed, found, remedy };
}
