using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("ParameterServer.Tests")]
