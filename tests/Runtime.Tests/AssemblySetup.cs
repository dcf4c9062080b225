[assembly: System.Runtime.CompilerServices.InternalsVisibleTo("ILGPURuntime")]

// Devices are shared between test classes, and leak checks count what lives on them: tests run one at a time.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]
